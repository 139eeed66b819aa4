// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/attach_task.h"

#include <utility>

namespace vgpu::mediator {
namespace {

// Unmapped at a time: a few milliseconds.
constexpr size_t kUnmapBytes = size_t{16} << 20;

}  // namespace

AttachTask::AttachTask(AttachParts parts, const Clock* clock, std::function<void(AttachTask*)> done)
    : parts_(std::move(parts)),
      clock_(clock),
      done_(std::move(done)),
      preparer_(parts_.layout, std::move(parts_.private_file), std::move(parts_.region),
                std::move(parts_.ring_lines)) {}

bool AttachTask::Step() {
  if (undoing_ || cancelled_.load()) {
    undoing_ = true;
    return !preparer_.UnmapSome(kUnmapBytes);
  }
  auto ready = preparer_.Step();
  if (!ready) {
    refusal_ = std::move(ready.error());
    undoing_ = true;
    return false;
  }
  if (*ready) MakeSession();
  return *ready;
}

void AttachTask::MakeSession() {
  session_ = std::make_unique<Session>(parts_.identity, preparer_.Take(), std::move(parts_.rings),
                                       std::move(parts_.window), parts_.device);
  longest_call_ns_ = session_->Recover(*clock_);
}

TeardownTask::TeardownTask(std::unique_ptr<Session> session, std::function<void()> done)
    : session_(std::move(session)), memory_(session_->TakeMemory()), done_(std::move(done)) {}

bool TeardownTask::Step() {
  session_->mapped()->store(false);
  if (memory_.region.UnmapSome(kUnmapBytes)) return false;
  memory_ = SessionMemory();
  session_.reset();
  return true;
}

}  // namespace vgpu::mediator
