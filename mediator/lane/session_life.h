// SPDX-License-Identifier: Apache-2.0
// Where a session is in its life, and why its VM is not served.
#ifndef VGPU_MEDIATOR_LANE_SESSION_LIFE_H_
#define VGPU_MEDIATOR_LANE_SESSION_LIFE_H_

#include <cstdint>

#include "base/published.h"

namespace vgpu::mediator {

enum class SessionState : uint8_t {
  kWaiting,  // no dispatcher has it: it is new, or the last dispatcher has given it up
  kServed,   // its kicks are heard and its rings are looked at
  // It was slow: its kicks are not heard and nothing of it begins until another dispatcher has it.
  kSuspended,
  kLeaving,  // it goes to another dispatcher, once nothing of it is with the backend
  kEnding,   // its connection closed: it ends once nothing of it is with the backend
  kEnded,
};
const char* ToText(SessionState state);
// May a session in state `from` go to `to`?
bool MayFollow(SessionState from, SessionState to);

// Why a session is fenced. The stronger reasons come last: a reason replaces a weaker one only. A reset lifts
// those that are weaker than kMemoryLost.
enum class FenceReason : uint8_t {
  kNone,         // it is not fenced
  kSlotReused,   // it reused a slot before its answer
  kSlow,         // it stalled the thread that served it, again
  kMemoryLost,   // pages of its memory are gone. Only another attach mends that
  kQuarantined,  // an operator said so, and must say otherwise
};
inline bool LiftedByReset(FenceReason reason) { return reason < FenceReason::kMemoryLost; }
const char* ToText(FenceReason reason);

// What a fence has changed.
enum class FenceChange : uint8_t {
  kNothing,   // it is fenced for a reason as strong, or it is on its way to its end or to another dispatcher
  kStronger,  // it was fenced already
  kFenced,
};

// The one owner of a session's state. The thread that has the session writes it; any thread may read the
// fence. A transition that may not be ends the program.
class SessionLife {
 public:
  SessionState state() const { return state_; }
  bool served() const { return state_ == SessionState::kServed; }
  bool leaving() const { return state_ == SessionState::kLeaving; }
  bool ending() const { return state_ == SessionState::kEnding; }
  // Gone, or about to go, from the dispatcher that has it.
  bool going() const { return leaving() || ending(); }
  // Its rings are not looked at, and nothing new of it begins.
  bool suspended() const { return state_ == SessionState::kSuspended || leaving(); }
  // May its owner's descriptors be used? In kWaiting nobody has the session, but for the one who prepares it.
  bool may_signal() const { return served() || state_ == SessionState::kWaiting; }

  void GoTo(SessionState state);

  // Any thread.
  FenceReason fence() const { return fence_; }
  bool fenced() const { return fence_ != FenceReason::kNone; }
  FenceChange Fence(FenceReason reason);
  // As a reset does. False: it stays fenced.
  bool LiftFence();

  // A reset was asked for and is not done.
  bool resetting() const { return resetting_; }
  void BeginReset() { resetting_ = true; }
  void EndReset() { resetting_ = false; }

 private:
  SessionState state_ = SessionState::kWaiting;
  base::Published<FenceReason> fence_ = FenceReason::kNone;
  bool resetting_ = false;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_SESSION_LIFE_H_
