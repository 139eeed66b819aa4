// SPDX-License-Identifier: Apache-2.0
#include "simulation/control.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "mediator/loop/eventfd.h"

namespace vgpu::simulation {

using mediator::FenceReason;
using mediator::LaneReport;

namespace {

// ARCHITECTURE.md: what a VM gives in an iteration, and what one gives that has the lane to itself.
constexpr uint64_t kTakeMax = 32;
constexpr uint64_t kOnlyOneMax = 256 + kTakeMax;

}  // namespace

Control::Control(Surroundings* around, const mediator::Clock* clock,
                 const std::vector<std::unique_ptr<Vm>>& vms)
    : around_(around), clock_(clock) {
  for (const auto& vm : vms) {
    entries_.emplace_back();
    entries_.back().vm = vm.get();
  }
}

void Control::Require(bool holds, const Entry& entry, const char* what) {
  if (!holds) throw Violation{"VM " + std::to_string(entry.vm->plan().vm_id) + ": " + what};
}

// ---- lives of the lane ----

void Control::BeginLife(mediator::Lane* lane, bool calm) {
  lane_ = lane;
  calm_ = calm;
  for (Entry& entry : entries_) {
    Attach(&entry);
    if (!entry.resetting) continue;
    entry.resetting = false;  // the lane before may have done it, or not
    Reset(&entry);
  }
}

void Control::EndLife() {
  lane_ = nullptr;
  for (Entry& entry : entries_) {
    entry.session.reset();
    entry.vm->SessionGone();
    entry.standing = Standing::kAway;
    if (entry.quarantined) entry.vm->Drop();  // released
    entry.quarantined = entry.fenced = false;
  }
}

void Control::Post(Entry* entry, Command command, FenceReason reason) {
  around_->log.Add("command", entry->vm->plan().vm_id, static_cast<uint64_t>(command));
  lane_->Post({command, reason, entry->session.get()});
}

void Control::Attach(Entry* entry) {
  auto session = entry->vm->MakeSession();
  session->Recover(*clock_);
  entry->session = std::move(session);
  entry->begun = entry->slow = false;
  entry->standing = Standing::kBeginning;
  Post(entry, Command::kBegin);
}

// The guest's system begins anew; who is fenced for good stays so.
void Control::Reset(Entry* entry) {
  entry->resetting = true;
  if (!entry->quarantined) entry->vm->Drop();
  Post(entry, Command::kReset);
}

void Control::End(Entry* entry) {
  entry->standing = Standing::kEnding;
  entry->vm->Drop();
  Post(entry, Command::kEnd);
}

// ---- what it does ----

void Control::Step() {
  Random& random = around_->random;
  if (random.OneIn(2)) {
    mediator::DrainEventfd(lane_->report_fd());
    for (LaneReport report; lane_->TakeReport(&report);) Heard(report);
  }
  Act(&entries_[random.Below(static_cast<uint32_t>(entries_.size()))]);
}

void Control::Act(Entry* entry) {
  if (around_->draining) return;
  Random& random = around_->random;
  if (entry->standing == Standing::kServed && !entry->resetting) return ActOnServed(entry);
  if (entry->standing != Standing::kAway || !random.OneIn(30)) return;
  if (random.OneIn(3)) entry->vm->Renew();
  Attach(entry);
  if (random.OneIn(4)) End(entry);
}

void Control::ActOnServed(Entry* entry) {
  Random& random = around_->random;
  if (entry->quarantined || entry->fenced) {
    if (!random.OneIn(60)) return;
    return random.OneIn(2) ? Reset(entry) : End(entry);
  }
  const uint32_t what = random.Below(calm_ ? 100'000 : 3'000);
  if (what < 3) {
    Reset(entry);
  } else if (what < 5) {
    entry->quarantined = true;
    entry->vm->Halt();
    Post(entry, Command::kFence, FenceReason::kQuarantined);
  } else if (what < 7) {
    End(entry);
  } else if (what < 9) {
    Reset(entry);
    End(entry);
  }
}

// ---- what it hears ----

void Control::Heard(const LaneReport& report) {
  using Kind = LaneReport::Kind;
  if (report.kind == Kind::kFault) return;  // the machine's page faults, not the simulation's
  if (report.kind == Kind::kBroken) throw Violation{"the lane says that its loop is broken"};
  const auto is_its = [&report](const Entry& entry) { return entry.session.get() == report.session; };
  const auto found = std::find_if(entries_.begin(), entries_.end(), is_its);
  if (found == entries_.end()) throw Violation{"a report about a session that has ended"};
  Entry& entry = *found;
  around_->log.Add("report", entry.vm->plan().vm_id, static_cast<uint64_t>(report.kind));
  const bool may_be_first =
      report.kind == Kind::kBegun || report.kind == Kind::kNotBegun || report.kind == Kind::kSlow;
  Require(entry.begun || may_be_first, entry, "a report before it began");
  switch (report.kind) {
    case Kind::kBegun: return HeardBegun(&entry);
    case Kind::kNotBegun: return Require(false, entry, "it could not begin");
    case Kind::kFenced:
      Require(entry.vm->plan().hostile || entry.quarantined, entry, "fenced, and it has kept the rules");
      entry.fenced = true;
      return;
    case Kind::kResetDone: return HeardReset(&entry, report);
    case Kind::kSlow:
      Require(entry.vm->plan().slow_calls, entry, "its system calls were not slow");
      entry.slow = true;
      return MoveIfSlow(&entry);
    case Kind::kLeft:
      Require(entry.standing == Standing::kMoving, entry, "left, and nobody has asked for it");
      entry.standing = Standing::kBeginning;
      entry.begun = false;
      Post(&entry, Command::kBeginAgain);
      if (entry.resetting) Post(&entry, Command::kReset);
      return;
    case Kind::kEnded: return HeardEnded(&entry);
    case Kind::kFault:
    case Kind::kBroken: return;
  }
}

void Control::HeardBegun(Entry* entry) {
  entry->begun = true;
  if (entry->standing == Standing::kEnding) return;
  Require(entry->standing == Standing::kBeginning, *entry, "begun, and nobody has asked for it");
  entry->standing = Standing::kServed;
  MoveIfSlow(entry);
}

// The calls of a session that comes back may have been slow, too: then that is heard before it has begun.
void Control::MoveIfSlow(Entry* entry) {
  if (!entry->slow || entry->standing != Standing::kServed) return;
  entry->slow = false;
  entry->standing = Standing::kMoving;
  Post(entry, Command::kLeave);
}

void Control::HeardReset(Entry* entry, const LaneReport& report) {
  Require(entry->resetting, *entry, "reset, and nobody has asked for it");
  entry->resetting = false;
  if (entry->quarantined)
    return Require(report.reason != mediator::FenceReason::kNone, *entry,
                   "a reset has lifted its quarantine");
  const bool fenced = report.reason != mediator::FenceReason::kNone;
  Require(entry->vm->plan().hostile || !fenced, *entry, "fenced after a reset");
  entry->fenced = fenced;
}

void Control::HeardEnded(Entry* entry) {
  Require(entry->standing == Standing::kEnding, *entry, "ended, and nobody has asked for it");
  entry->session.reset();
  entry->vm->SessionGone();
  entry->standing = Standing::kAway;
  if (entry->quarantined) entry->vm->Drop();
  entry->resetting = entry->quarantined = entry->fenced = false;
}

// ---- checks ----

bool Control::up_to_date() const {
  pollfd watched{lane_->report_fd(), POLLIN, 0};
  return poll(&watched, 1, 0) == 0;
}

bool Control::Serves(size_t vm) const {
  const Entry& entry = entries_[vm];
  return entry.standing == Standing::kServed && !entry.resetting && !entry.fenced && !entry.quarantined;
}

bool Control::Settled() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const Entry& entry) {
    return (entry.standing == Standing::kServed || entry.standing == Standing::kAway) && !entry.resetting;
  });
}

void Control::CheckIteration() {
  uint32_t takers = 0;
  uint64_t most = 0;
  const Entry* who = nullptr;
  for (Entry& entry : entries_) {
    if (entry.session == nullptr) continue;
    uint64_t taken = 0;
    for (const auto& ring : entry.session->rings()) taken += ring->counters().taken;
    const bool same = entry.serial == entry.session->serial();
    const uint64_t in_iteration = taken - (same ? entry.taken : 0);
    entry.taken = taken;
    entry.serial = entry.session->serial();
    takers += in_iteration != 0 ? 1 : 0;
    if (in_iteration < most) continue;
    most = in_iteration;
    who = &entry;
  }
  if (who != nullptr)
    Require(most <= (takers > 1 ? kTakeMax : kOnlyOneMax), *who, "it has given too much in one turn");
}

}  // namespace vgpu::simulation
