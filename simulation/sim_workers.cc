// SPDX-License-Identifier: Apache-2.0
#include "simulation/sim_workers.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cstdio>
#include <span>

#include "mediator/lane/guest_ring.h"
#include "mediator/loop/eventfd.h"
#include "mediator/requests/operations.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {

using mediator::Piece;

namespace {

constexpr uint32_t kJobNs = 3'000;         // short: who is of a low class has its turn, too
constexpr uint32_t kFaultedOneIn = 2'000;  // pieces that have missed pages

}  // namespace

SimWorkers::SimWorkers(Surroundings* around, PieceBook* book)
    : around_(around), book_(book), finished_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void SimWorkers::GoOn() {
  for (Job& job : jobs_) {
    if (job.done || job.due_ns > around_->now_ns()) continue;
    job.done = true;
    job.piece.faulted = around_->random.OneIn(kFaultedOneIn);
    mediator::Run(job.piece.request, job.piece.ring->limits(), job.piece.begin, job.piece.end);
    mediator::SignalEventfd(finished_fd_.get());
  }
}

int64_t SimWorkers::NextNs() const {
  int64_t next_ns = kNever;
  for (const Job& job : jobs_) next_ns = std::min(next_ns, job.due_ns);
  return next_ns;
}

// Three pieces, however short; but for what the loop would run by itself, which is never cut.
uint64_t SimWorkers::PieceLength(const mediator::Request& request) const {
  return request.inline_run ? request.count + 1 : request.count / 3 + 1;
}

void SimWorkers::Submit(const Piece& piece) {
  const Outside outside;
  if (!HasRoom()) throw Violation{"the workers were given more than they have room for"};
  book_->Given(piece);
  jobs_.push_back({piece, around_->now_ns() + around_->random.Below(kJobNs)});
}

void SimWorkers::Reap(std::vector<Piece>* finished) {
  const Outside outside;
  mediator::DrainEventfd(finished_fd_.get());
  const size_t before = finished->size();
  for (const Job& job : jobs_) {
    if (job.done) finished->push_back(job.piece);
  }
  book_->CameBack(std::span(*finished).subspan(before));
  std::erase_if(jobs_, [](const Job& job) { return job.done; });
}

void SimWorkers::Describe(uint32_t, vgpu_device_info* info) const {
  info->backend = VGPU_BACKEND_CPU;
  std::snprintf(info->name, sizeof info->name, "simulated");
  std::snprintf(info->driver, sizeof info->driver, "none");
}

}  // namespace vgpu::simulation
