// SPDX-License-Identifier: Apache-2.0
#include "simulation/world.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/crash_point.h"
#include "base/result.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {
namespace {

constexpr uint32_t kVms = 6;
constexpr uint32_t kWatchesMax = 64;
constexpr uint32_t kStepNs = 1'500;      // at most; each step takes a little
constexpr uint64_t kDrainMax = 400'000;  // steps until all have their answers
constexpr uint32_t kLifeSteps = 3'000;   // of most daemons, at most
constexpr uint32_t kLongLife = 30'000;   // of some, at least: so that whoever starves is noticed

// Where a daemon dies (base/crash_point.h), in builds that have these points.
constexpr const char* kDeathPoints[] = {
    "before_journal_cons",  "after_journal_cons",   "before_started",      "after_started",
    "before_epoch_journal", "within_epoch_journal", "after_epoch_journal", "after_epoch_answer",
    "after_fence_journal",  "before_done",          "after_done",          "before_call",
    "after_call",           "before_arm",           "after_arm",           "after_begin",
};

World* g_world = nullptr;

}  // namespace

World::World(uint64_t seed, uint64_t steps, bool print) : around_(seed, print), steps_(steps) {
  assert(g_world == nullptr);
  g_world = this;
  base::SetCrashPointHandler([](const char* name) { g_world->AtCrashPoint(name); });
  around_.hands.now_ns = 1'000'000'000;
  MakeVms();
  control_ = std::make_unique<Control>(&around_, &clock_, vms_);
}

World::~World() {
  base::SetCrashPointHandler(nullptr);
  g_world = nullptr;
}

// One that is slow, one that dies, one whose descriptors are slow, one that lies; the others are in a hurry.
void World::MakeVms() {
  for (uint32_t vm_id = 1; vm_id <= kVms; ++vm_id) {
    VmPlan plan;
    plan.vm_id = vm_id;
    plan.priority = around_.random.Below(3);
    plan.ring_count = 1 + around_.random.Below(2);
    plan.entries = 4u << around_.random.Below(4);
    plan.short_arenas = !around_.random.OneIn(3);
    plan.hostile = vm_id == 1;
    plan.slow_calls = vm_id == 2;
    plan.manners.dies = vm_id == 3;
    if (vm_id == 4) plan.manners.think_ns = 200'000;
    vms_.push_back(std::make_unique<Vm>(plan, &around_, &order_));
  }
}

// ---- lives ----

Outcome World::Run() {
  Outcome outcome;
  try {
    for (;;) {
      try {
        Live();
      } catch (const Death&) {
      }
      EndLife();
    }
  } catch (const Finished&) {
  } catch (const Violation& violation) {
    outcome.violation = violation.what;
  }
  around_.draining = true;
  EndLife();
  outcome.steps = around_.steps;
  outcome.lives = lives_;
  outcome.answers = around_.answers;
  outcome.hash = around_.log.hash();
  return outcome;
}

void World::Live() {
  PlanDeath();
  ++lives_;
  const mediator::WaitMode wait =
      around_.random.OneIn(2) ? mediator::WaitMode::kSleep : mediator::WaitMode::kAdaptive;
  mediator::LaneOptions options{"simulated", kWatchesMax, {wait, 30'000, kVms, false}};
  serve::TraceSink* trace = around_.random.OneIn(2) ? &order_ : nullptr;
  const auto make_backend =
      [this](mediator::EventLoop* loop) -> base::Result<std::unique_ptr<mediator::Backend>> {
    auto backend = std::make_unique<SimBackend>(loop, &around_);
    backend_ = backend.get();
    return std::unique_ptr<mediator::Backend>(std::move(backend));
  };
  auto loop = std::make_unique<SimLoop>(kWatchesMax, &around_, static_cast<Others*>(this));
  auto lane = mediator::Lane::StartHere(std::move(options), std::move(loop), make_backend, trace, &clock_);
  if (!lane) throw Violation{lane.error()};
  lane_ = std::move(*lane);
  control_->BeginLife(lane_.get());
  const Inside inside;
  lane_->Serve();
}

// Guests go on while there is no daemon.
void World::EndLife() {
  around_.log.Add("life ends", lives_, around_.steps);
  between_ = false;
  backend_ = nullptr;
  lane_.reset();
  ++around_.interruptions;
  for (uint32_t count = around_.random.Below(8); count != 0 && !around_.draining; --count) ActOne();
  control_->EndLife();
}

void World::PlanDeath() {
  Random& random = around_.random;
  death_step_ = around_.steps + 50 + random.Below(kLifeSteps) + (random.OneIn(32) ? kLongLife : 0);
  stops_ = random.OneIn(4);
  death_point_ = nullptr;
  if (stops_ || random.OneIn(3)) return;
  death_point_ = kDeathPoints[random.Below(static_cast<uint32_t>(std::size(kDeathPoints)))];
  death_hits_ = 1 + (random.OneIn(2) ? random.Below(3) : random.Below(200));
}

void World::DieIfDue() {
  if (around_.draining || around_.steps < death_step_) return;
  if (!stops_) throw Death{};
  stops_ = false;
  death_step_ = around_.steps + kLifeSteps;  // if it does not
  lane_->Post({});
}

// The daemon is between two changes of what others see: it dies here, or others go on.
void World::AtCrashPoint(const char* name) {
  const Outside outside;
  if (around_.draining || between_) return;
  if (death_point_ != nullptr && std::strcmp(name, death_point_) == 0 && --death_hits_ == 0) {
    around_.log.Add(name);
    throw Death{};
  }
  if (!around_.random.OneIn(6)) return;
  between_ = true;
  ActOne();
  between_ = false;
}

// ---- the others ----

Guest* World::AnyGuest(size_t* vm) {
  *vm = around_.random.Below(static_cast<uint32_t>(vms_.size()));
  const auto& guests = vms_[*vm]->guests();
  return guests[around_.random.Below(static_cast<uint32_t>(guests.size()))].get();
}

bool World::ActOne() {
  size_t vm = 0;
  Guest* guest = AnyGuest(&vm);
  return control_->Connected(vm) && guest->Act();
}

// Whoever can.
bool World::ActAny() {
  const size_t first = around_.random.Below(static_cast<uint32_t>(vms_.size()));
  for (size_t i = 0; i < vms_.size(); ++i) {
    const size_t vm = (first + i) % vms_.size();
    if (!control_->Connected(vm)) continue;
    for (const auto& guest : vms_[vm]->guests()) {
      if (guest->Act()) return true;
    }
  }
  return false;
}

void World::OneStep() {
  ++around_.steps;
  const int64_t took_ns = 50 + around_.random.Below(kStepNs);
  around_.hands.now_ns += took_ns;
  around_.hands.computed_ns += took_ns;
  if (around_.steps >= steps_) around_.draining = true;
  DieIfDue();
  control_->Step();
  backend_->GoOn();
  if (around_.draining) {
    if (AllDone()) throw Finished{};
    if (around_.steps > steps_ + kDrainMax) throw Violation{"it never comes to rest"};
  } else if (around_.random.OneIn(3'000)) {
    backend_->KillEngine();
  }
}

void World::GoOn() {
  if (Allocations::TakeDaemons() != 0) throw Violation{"the daemon has allocated memory in its turn"};
  control_->CheckTurn();
  OneStep();
  for (uint32_t count = around_.random.Below(3); count != 0; --count) ActOne();
  size_t vm = 0;
  const Guest* guest = AnyGuest(&vm);
  if (control_->Serves(vm)) guest->CheckAge();
}

void World::CheckAsleep(bool for_ever) {
  if (!for_ever || !backend_->idle() || !control_->up_to_date()) return;
  for (size_t vm = 0; vm < vms_.size(); ++vm) {
    if (!control_->Serves(vm)) continue;
    for (const auto& guest : vms_[vm]->guests()) guest->CheckDaemonSleeps();
  }
}

bool World::GoOnAsleep(int64_t deadline_ns) {
  const int64_t computed_ns = around_.hands.computed_ns;
  OneStep();
  around_.hands.computed_ns = computed_ns;
  if (ActAny()) return true;
  const int64_t next_ns = std::min(NextNs(), deadline_ns);
  if (next_ns == kNever) return true;  // control may do something
  around_.hands.now_ns = std::max(around_.hands.now_ns, next_ns);
  return around_.hands.now_ns < deadline_ns;
}

int64_t World::NextNs() const {
  int64_t next_ns = backend_->NextNs();
  for (size_t vm = 0; vm < vms_.size(); ++vm) {
    if (!control_->Connected(vm)) continue;
    for (const auto& guest : vms_[vm]->guests()) next_ns = std::min(next_ns, guest->next_ns());
  }
  return next_ns;
}

int64_t World::SystemCallNs(int fd) {
  const auto slow = [fd](const auto& vm) { return vm->plan().slow_calls && vm->Owns(fd); };
  const bool may_be_slow = std::any_of(vms_.begin(), vms_.end(), slow);
  const int64_t usual_ns = 500 + around_.random.Below(1'000);
  return may_be_slow && around_.random.OneIn(50) ? usual_ns + 3'000'000 : usual_ns;
}

bool World::AllDone() const {
  if (!control_->Settled()) return false;
  for (size_t vm = 0; vm < vms_.size(); ++vm) {
    if (!control_->Serves(vm)) continue;
    for (const auto& guest : vms_[vm]->guests()) {
      if (!guest->Done()) return false;
    }
  }
  return true;
}

Outcome Simulate(uint64_t seed, uint64_t steps, bool print) {
  World world(seed, steps, print);
  return world.Run();
}

}  // namespace vgpu::simulation
