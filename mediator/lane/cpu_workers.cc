// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/cpu_workers.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

#include "api/device_info.h"
#include "base/crash_point.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/lane/guest_ring.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/threads.h"
#include "mediator/requests/operations.h"
#include "mediator/sched/policy.h"

namespace vgpu::mediator {
namespace {

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

struct Effort {
  int64_t now_ns;
  long faults;
};

Effort EffortOfThread() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return {MonotonicNs(), usage.ru_minflt + usage.ru_majflt};
}

}  // namespace

base::Result<std::unique_ptr<CpuWorkers>> CpuWorkers::Create(uint32_t threads) {
  assert(threads > 0);
  base::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return tl::make_unexpected(Refused("cannot create an eventfd", errno));
  std::unique_ptr<CpuWorkers> workers(new CpuWorkers(threads, std::move(fd)));
  if (const auto started = workers->Start(threads); !started) return tl::make_unexpected(started.error());
  return workers;
}

CpuWorkers::CpuWorkers(uint32_t threads, base::UniqueFd finished_fd)
    : finished_fd_(std::move(finished_fd)),
      in_flight_max_(threads * policy::kPiecesPerWorker),
      name_(CpuName()),
      places_(new Place[in_flight_max_]),
      mask_(std::bit_ceil(in_flight_max_) - 1),
      waiting_(new uint32_t[mask_ + 1]) {
  for (uint32_t i = 0; i < in_flight_max_; ++i) free_.push_back(i);
  used_.reserve(in_flight_max_);
  sem_init(&work_, /*pshared=*/0, 0);
}

base::Result<void> CpuWorkers::Start(uint32_t threads) {
  for (uint32_t i = 0; i < threads; ++i) {
    auto thread = StartThread(fmt::format("worker {} of {}", i + 1, threads), [this] { Work(); });
    if (!thread)
      return tl::make_unexpected(thread.error() + "; or ask for fewer workers in the configuration");
    threads_.push_back(std::move(*thread));
  }
  return {};
}

CpuWorkers::~CpuWorkers() {
  stopping_ = true;
  for (size_t i = 0; i < threads_.size(); ++i) sem_post(&work_);
  for (std::thread& thread : threads_) thread.join();
  sem_destroy(&work_);
}

uint64_t CpuWorkers::PieceLength(const Request& request) const { return request.op->piece(request); }

void CpuWorkers::Submit(const Piece& piece) {
  assert(HasRoom());
  const uint32_t place = free_.back();
  free_.pop_back();
  used_.push_back(place);
  assert(!places_[place].finished);
  places_[place].piece = piece;
  waiting_[submitted_++ & mask_] = place;  // there is room: not more wait than have a place
  sem_post(&work_);
}

void CpuWorkers::Reap(std::vector<Piece>* finished) {
  DrainEventfd(finished_fd_.get());
  for (size_t i = 0; i < used_.size();) {
    Place& place = places_[used_[i]];
    if (!place.finished.exchange(false)) {
      ++i;
      continue;
    }
    finished->push_back(place.piece);
    free_.push_back(used_[i]);
    used_[i] = used_.back();
    used_.pop_back();
  }
  assert(free_.size() + used_.size() == in_flight_max_);
}

void CpuWorkers::Work() {
  pthread_setname_np(pthread_self(), "vgpu-cpu");
  for (;;) {
    while (sem_wait(&work_) != 0) {  // a signal
    }
    if (stopping_) return;
    Place& place = places_[waiting_[begun_.fetch_add(1) & mask_]];
    assert(!place.finished);
    Piece& piece = place.piece;
    const Effort before = EffortOfThread();
    Run(piece.request, piece.ring->limits(), piece.begin, piece.end);
    const Effort after = EffortOfThread();
    piece.faulted = after.faults != before.faults && after.now_ns - before.now_ns > policy::kLongPieceNs;
    VGPU_CRASH_POINT("after_piece");
    place.finished = true;
    SignalEventfd(finished_fd_.get());
  }
}

void CpuWorkers::Describe(uint32_t, vgpu_device_info* info) const {
  info->backend = VGPU_BACKEND_CPU;
  info->memory_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::snprintf(info->name, sizeof info->name, "%s", name_.c_str());
  std::snprintf(info->driver, sizeof info->driver, "none");
}

}  // namespace vgpu::mediator
