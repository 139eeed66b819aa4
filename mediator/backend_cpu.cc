// SPDX-License-Identifier: Apache-2.0
#include "mediator/backend_cpu.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

#include "api/device_info.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/clock.h"
#include "mediator/crash_point.h"
#include "mediator/eventfd.h"
#include "mediator/operations.h"
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
    : finished_fd_(std::move(finished_fd)), in_flight_max_(workers * kPiecesPerWorker), name_(CpuName()) {
  waiting_.reserve(in_flight_max_);
  finished_.reserve(in_flight_max_);
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
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

uint64_t CpuBackend::PieceElements(const GuestRing&, const Request& request, int64_t) const {
  return request.op->piece(request);
}

void CpuBackend::Submit(const Piece& piece, int64_t) {
  assert(HasRoom());
  ++in_flight_;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(piece);
  }
  wake_.notify_one();
}

void CpuBackend::Reap(std::vector<Piece>* finished) {
  DrainEventfd(finished_fd_.get());
  std::lock_guard lock(mutex_);
  finished->insert(finished->end(), finished_.begin(), finished_.end());
  in_flight_ -= static_cast<uint32_t>(finished_.size());
  finished_.clear();
}

void CpuBackend::Work() {
  pthread_setname_np(pthread_self(), "vgpu-worker");
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    Piece piece = waiting_.front();
    waiting_.erase(waiting_.begin());
    lock.unlock();
    const Effort before = EffortOfThread();
    Run(piece.request, piece.begin, piece.end);
    const Effort after = EffortOfThread();
    piece.faulted = after.faults != before.faults && after.now_ns - before.now_ns > kLongNs;
    VGPU_CRASH_POINT("after_piece");
    lock.lock();
    finished_.push_back(piece);
    lock.unlock();
    SignalEventfd(finished_fd_.get());  // not under the lock, which the loop takes first of all
    lock.lock();
  }
}

void CpuBackend::Describe(uint32_t, vgpu_device_info* info) const {
  info->backend = VGPU_BACKEND_CPU;
  info->memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::snprintf(info->name, sizeof info->name, "%s", name_.c_str());
  std::snprintf(info->driver, sizeof info->driver, "none");
}

}  // namespace vgpu::mediator
