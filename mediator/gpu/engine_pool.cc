// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_pool.h"

#include <algorithm>
#include <utility>

namespace vgpu::mediator {
namespace {

using Kind = EngineAction::Kind;

// An engine that worked for so long was well.
constexpr int64_t kWellNs = 60'000'000'000;
// The delay of a start after one failure is twice this; it doubles with each further one.
constexpr int kDelayUnitMs = 50;
constexpr uint32_t kDelayDoublingsMax = 10;
// If so many engines in a row fail before they are ready, only a request starts another one.
constexpr uint32_t kFailedStartsMax = 8;
// While a retired engine's context is torn down the GPU may stand still: its successor has so many time-outs.
constexpr int64_t kTimeoutsOfSuccessor = 4;

bool IsOnTheWayOut(EngineLife life) { return life == EngineLife::kRetired || life == EngineLife::kCancelled; }

}  // namespace

bool MayFollow(EngineLife from, EngineLife to) {
  using Life = EngineLife;
  switch (from) {
    case Life::kAbsent: return to == Life::kStarting;
    case Life::kStarting: return to == Life::kLoading || to == Life::kCancelled || to == Life::kAbsent;
    case Life::kCancelled: return to == Life::kRetired || to == Life::kAbsent;
    case Life::kLoading: return to == Life::kServing || to == Life::kRetired;
    case Life::kServing: return to == Life::kRetired;
    case Life::kRetired: return to == Life::kAbsent;
  }
  return false;
}

bool MayFollow(GpuUse from, GpuUse to) {
  switch (from) {
    case GpuUse::kInUse: return to == GpuUse::kParked;
    case GpuUse::kParked: return to == GpuUse::kWanted || to == GpuUse::kInUse;  // kInUse: not found yet
    case GpuUse::kWanted: return to == GpuUse::kInUse;
  }
  return false;
}

void Move(EngineLife* life, EngineLife to) {
  assert(MayFollow(*life, to));
  *life = to;
}

void Move(GpuUse* use, GpuUse to) {
  assert(MayFollow(*use, to));
  *use = to;
}

EnginePool::EnginePool(const EnginePoolOptions& options, bool found)
    : options_(options), use_(found ? GpuUse::kInUse : GpuUse::kParked), found_(found) {}

// ---- states ----

void EnginePool::Become(EngineId engine, EngineLife life) {
  assert(engine < kEnginesMax);
  const EngineLife before = lives_[engine];
  Move(&lives_[engine], life);
  if (IsOnTheWayOut(life) && !IsOnTheWayOut(before)) ++retired_;
  if (IsOnTheWayOut(before) && !IsOnTheWayOut(life)) --retired_;
}

EngineId EnginePool::Order() {
  const auto place = std::find(lives_.begin(), lives_.end(), EngineLife::kAbsent);
  assert(place != lives_.end());
  const auto engine = static_cast<EngineId>(place - lives_.begin());
  Become(engine, EngineLife::kStarting);
  return engine;
}

// Engines of one GPU are alike, and come in the order of their orders. The first one is the current one.
void EnginePool::TakeRoleInOrder(EngineId engine) {
  if (engine == spare_ && life(current_) == EngineLife::kStarting) std::swap(current_, spare_);
}

void EnginePool::LeaveRole(EngineId engine) {
  if (engine == current_) current_ = kNoEngine;
  if (engine == spare_) spare_ = kNoEngine;
}

// ---- starts ----

EngineId EnginePool::AddReady(int64_t now_ns) {
  assert(current_ == kNoEngine && use_ == GpuUse::kInUse);
  current_ = Order();
  Become(current_, EngineLife::kLoading);
  Become(current_, EngineLife::kServing);
  current_since_ns_ = now_ns;
  return current_;
}

// After failures each start comes later than the one before.
int EnginePool::DelayMs() const {
  if (failures_ == 0) return 0;
  return std::min(kDelayMaxMs, kDelayUnitMs << std::min(failures_, kDelayDoublingsMax));
}

// Orders what is missing.
void EnginePool::Replace(EngineActions* actions) {
  if (use_ != GpuUse::kInUse) return;
  if (current_ == kNoEngine) {
    current_ = Order();
    actions->Add({Kind::kStart, current_, DelayMs()});
  }
  const bool spare_is_wanted = options_.spare && !spare_given_up_ && Serves(current_);
  if (spare_is_wanted && spare_ == kNoEngine) {
    spare_ = Order();
    actions->Add({Kind::kStartSpare, spare_, DelayMs()});
  }
}

EngineActions EnginePool::Replenish() {
  EngineActions actions;
  UnparkIfWanted(&actions);
  Replace(&actions);
  return actions;
}

EngineActions EnginePool::Started(EngineId engine) {
  EngineActions actions;
  if (life(engine) == EngineLife::kCancelled) {
    Retire(engine, &actions);
    return actions;
  }
  TakeRoleInOrder(engine);
  Become(engine, EngineLife::kLoading);
  return actions;
}

EngineActions EnginePool::StartRefused(EngineId engine, int64_t now_ns) {
  EngineActions actions;
  TakeRoleInOrder(engine);
  Become(engine, EngineLife::kAbsent);
  LeaveRole(engine);
  if (use_ == GpuUse::kInUse && current_ == kNoEngine && spare_ == kNoEngine) ParkFailing(now_ns, &actions);
  if (UnparkIfWanted(&actions)) Replace(&actions);
  return actions;
}

EngineActions EnginePool::Ready(EngineId engine, int64_t now_ns) {
  EngineActions actions;
  if (life(engine) == EngineLife::kRetired) return actions;
  // A spare engine that is ready before a new current one does the work.
  if (engine == spare_ && !Serves(current_)) std::swap(current_, spare_);
  Become(engine, EngineLife::kServing);
  if (engine == current_) {
    current_since_ns_ = now_ns;
    if (!std::exchange(found_, true)) actions.Add({Kind::kFound, engine});
    actions.Add({failures_ == 0 ? Kind::kReady : Kind::kRecovered, engine});
    Replace(&actions);
  }
  actions.Add({Kind::kServe, engine});
  return actions;
}

// ---- ends ----

void EnginePool::Retire(EngineId engine, EngineActions* actions) {
  Become(engine, EngineLife::kRetired);
  LeaveRole(engine);
  actions->Add({Kind::kKill, engine});
}

EngineActions EnginePool::Failed(EngineId engine, int64_t now_ns) {
  EngineActions actions;
  if (life(engine) == EngineLife::kRetired) return actions;
  if (engine == spare_) {
    SpareFailed(&actions);
  } else {
    assert(engine == current_);
    CurrentFailed(now_ns, &actions);
  }
  return actions;
}

// One that fails before it is ready shows that the GPU takes one process only (exclusive mode).
void EnginePool::SpareFailed(EngineActions* actions) {
  const EngineId engine = spare_;
  spare_given_up_ = !Serves(engine);
  Retire(engine, actions);
  actions->Add({spare_given_up_ ? Kind::kSpareGivenUp : Kind::kSpareLost, engine});
}

void EnginePool::CurrentFailed(int64_t now_ns, EngineActions* actions) {
  const EngineId engine = current_;
  const bool was_ready = Serves(engine);
  const bool was_well = was_ready && now_ns - current_since_ns_ >= kWellNs;
  failures_ = was_well ? 1 : failures_ + 1;
  failed_starts_ = was_ready ? 0 : failed_starts_ + 1;
  Retire(engine, actions);
  actions->Add({Kind::kLost, engine});
  if (Serves(spare_)) {
    current_ = std::exchange(spare_, kNoEngine);
    current_since_ns_ = now_ns;
    actions->Add({Kind::kPromote, current_});
  } else if (failed_starts_ >= kFailedStartsMax || !found_) {
    ParkFailing(now_ns, actions);
  }
}

EngineActions EnginePool::Gone(EngineId engine, int64_t watched_ns) {
  EngineActions actions;
  assert(life(engine) == EngineLife::kRetired);
  Become(engine, EngineLife::kAbsent);
  if (!HasRetired()) none_retired_since_ns_ = watched_ns;
  UnparkIfWanted(&actions);
  Replace(&actions);
  return actions;
}

bool EnginePool::IsOverdue(int64_t since_ns, int64_t watched_ns) const {
  const bool successor = HasRetired();
  const int64_t from_ns = successor ? since_ns : std::max(since_ns, none_retired_since_ns_);
  const int64_t timeout_ns = int64_t{options_.timeout_ms} * 1'000'000;
  return watched_ns - from_ns >= (successor ? kTimeoutsOfSuccessor : 1) * timeout_ns;
}

// ---- parking ----

EngineActions EnginePool::Idle(EngineId engine, bool at_rest, int64_t now_ns) {
  EngineActions actions;
  if (engine != current_) return actions;
  // It may have said so before it was the current one, or before it got what it has now.
  if (at_rest && now_ns - current_since_ns_ >= int64_t{options_.park_s} * 500'000'000) {
    Park(Kind::kPark, &actions);
  } else {
    actions.Add({Kind::kStayAwake, engine});
  }
  return actions;
}

void EnginePool::Park(EngineAction::Kind kind, EngineActions* actions) {
  Move(&use_, GpuUse::kParked);
  failures_ = failed_starts_ = 0;
  actions->Add({kind});
  for (const EngineId engine : {current_, spare_}) {
    if (engine == kNoEngine) continue;
    if (life(engine) == EngineLife::kStarting) {
      Become(engine, EngineLife::kCancelled);
      LeaveRole(engine);
    } else {
      Retire(engine, actions);
    }
  }
}

void EnginePool::ParkFailing(int64_t now_ns, EngineActions* actions) {
  not_before_ns_ = now_ns + int64_t{kDelayMaxMs} * 1'000'000;
  Park(Kind::kParkFailing, actions);
}

EngineActions EnginePool::Wanted(int64_t now_ns) {
  EngineActions actions;
  if (use_ == GpuUse::kInUse || !found_ || now_ns < not_before_ns_) return actions;
  if (use_ == GpuUse::kParked) Move(&use_, GpuUse::kWanted);
  if (UnparkIfWanted(&actions)) Replace(&actions);
  return actions;
}

// True: it needs its engines again.
bool EnginePool::UnparkIfWanted(EngineActions* actions) {
  if (use_ != GpuUse::kWanted || HasRetired()) return false;
  Move(&use_, GpuUse::kInUse);
  actions->Add({Kind::kUnpark});
  return true;
}

EngineActions EnginePool::Probe() {
  EngineActions actions;
  if (found_ || use_ == GpuUse::kInUse || HasRetired()) return actions;
  Move(&use_, GpuUse::kInUse);
  Replace(&actions);
  return actions;
}

}  // namespace vgpu::mediator
