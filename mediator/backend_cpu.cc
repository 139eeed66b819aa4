// SPDX-License-Identifier: Apache-2.0
#include "mediator/backend_cpu.h"

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
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/clock.h"
#include "base/crash_point.h"
#include "mediator/eventfd.h"
#include "mediator/operations.h"
#include "mediator/sched/policy.h"
#include "mediator/threads.h"

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

// A piece is some 50 us of work; one whose memory was taken away may wait for as long as that takes.
constexpr int64_t kLongNs = 300'000;

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

base::Result<std::unique_ptr<CpuBackend>> CpuBackend::Create(uint32_t workers) {
  assert(workers > 0);
  base::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return tl::make_unexpected(Refused("cannot create an eventfd", errno));
  std::unique_ptr<CpuBackend> backend(new CpuBackend(workers, std::move(fd)));
  if (const auto started = backend->StartWorkers(workers); !started) return tl::make_unexpected(started.error());
  return backend;
}

CpuBackend::CpuBackend(uint32_t workers, base::UniqueFd finished_fd)
    : finished_fd_(std::move(finished_fd)),
      in_flight_max_(workers * policy::kPiecesPerWorker),
      name_(CpuName()),
      slots_(new Slot[in_flight_max_]),
      mask_(std::bit_ceil(in_flight_max_) - 1),
      waiting_(new uint32_t[mask_ + 1]) {
  for (uint32_t i = 0; i < in_flight_max_; ++i) free_.push_back(i);
  used_.reserve(in_flight_max_);
  sem_init(&work_, /*pshared=*/0, 0);
}

base::Result<void> CpuBackend::StartWorkers(uint32_t workers) {
  for (uint32_t i = 0; i < workers; ++i) {
    auto worker = StartThread(fmt::format("worker {} of {}", i + 1, workers), [this] { Work(); });
    if (!worker) return tl::make_unexpected(worker.error() + "; or ask for fewer workers in the configuration");
    workers_.push_back(std::move(*worker));
  }
  return {};
}

CpuBackend::~CpuBackend() {
  stopping_ = true;
  for (size_t i = 0; i < workers_.size(); ++i) sem_post(&work_);
  for (std::thread& worker : workers_) worker.join();
  sem_destroy(&work_);
}

void CpuBackend::Submit(const Piece& piece) {
  assert(HasRoom());
  ++in_flight_;
  const uint32_t slot = free_.back();
  free_.pop_back();
  used_.push_back(slot);
  slots_[slot].piece = piece;
  waiting_[submitted_++ & mask_] = slot;  // its place is free: not more wait than are in flight
  sem_post(&work_);
}

void CpuBackend::Reap(std::vector<Piece>* finished) {
  DrainEventfd(finished_fd_.get());
  for (size_t i = 0; i < used_.size();) {
    Slot& slot = slots_[used_[i]];
    if (!slot.finished.exchange(false)) {
      ++i;
      continue;
    }
    finished->push_back(slot.piece);
    free_.push_back(used_[i]);
    used_[i] = used_.back();
    used_.pop_back();
    --in_flight_;
  }
}

void CpuBackend::Work() {
  pthread_setname_np(pthread_self(), "vgpu-worker");
  for (;;) {
    while (sem_wait(&work_) != 0) {  // a signal
    }
    if (stopping_) return;
    Slot& slot = slots_[waiting_[begun_.fetch_add(1) & mask_]];
    Piece& piece = slot.piece;
    const Effort before = EffortOfThread();
    Run(piece.request, piece.begin, piece.end);
    const Effort after = EffortOfThread();
    piece.faulted = after.faults != before.faults && after.now_ns - before.now_ns > kLongNs;
    VGPU_CRASH_POINT("after_piece");
    slot.finished = true;
    SignalEventfd(finished_fd_.get());
  }
}

void CpuBackend::Describe(uint32_t, vgpu_device_info* info) const {
  info->backend = VGPU_BACKEND_CPU;
  info->memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::snprintf(info->name, sizeof info->name, "%s", name_.c_str());
  std::snprintf(info->driver, sizeof info->driver, "none");
}

}  // namespace vgpu::mediator
