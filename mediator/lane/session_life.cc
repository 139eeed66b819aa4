// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/session_life.h"

#include <cassert>

#include "base/mutant.h"

namespace vgpu::mediator {

const char* ToText(SessionState state) {
  switch (state) {
    case SessionState::kWaiting: return "waiting";
    case SessionState::kServed: return "served";
    case SessionState::kSuspended: return "held";
    case SessionState::kLeaving: return "leaving";
    case SessionState::kEnding: return "ending";
    case SessionState::kEnded: return "ended";
  }
  return "unknown";
}

const char* ToText(FenceReason reason) {
  switch (reason) {
    case FenceReason::kNone: return "it is not fenced";
    case FenceReason::kSlotReused: return "it reused a slot before its answer";
    case FenceReason::kMemoryLost: return "pages of its memory are gone, or broken";
    case FenceReason::kSlow:
      return "its memory or its descriptors have held up the thread that serves it, again";
    case FenceReason::kQuarantined: return "it is quarantined";
  }
  return "unknown";
}

bool MayFollow(SessionState from, SessionState to) {
  using enum SessionState;
  switch (from) {
    case kWaiting: return to == kServed;
    case kServed: return to == kSuspended || to == kLeaving || to == kEnding;
    case kSuspended: return to == kLeaving || to == kEnding;
    case kLeaving: return to == kWaiting;
    case kEnding: return to == kEnded;
    case kEnded: return false;
  }
  return false;
}

void SessionLife::GoTo(SessionState state) {
  assert(MayFollow(state_, state));
  state_ = state;
}

FenceChange SessionLife::Fence(FenceReason reason) {
  assert(reason != FenceReason::kNone);
  const FenceReason before = fence_;
  if (going() || reason <= before) return FenceChange::kNothing;
  fence_ = reason;
  return before == FenceReason::kNone ? FenceChange::kFenced : FenceChange::kStronger;
}

bool SessionLife::LiftFence() {
  if (!LiftedByReset(fence_) && !VGPU_MUTANT("fence_forgotten_at_reset")) return false;
  fence_ = FenceReason::kNone;
  return true;
}

}  // namespace vgpu::mediator
