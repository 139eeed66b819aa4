// SPDX-License-Identifier: Apache-2.0
#include "simulation/world.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>
#include <utility>

#include "api/device_info.h"
#include "base/crash_point.h"
#include "base/result.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {
namespace {

constexpr uint32_t kVms = 6;
constexpr uint32_t kWatchesMax = 64;
constexpr uint32_t kStepNs = 1'500;      // at most
constexpr uint32_t kHangNs = 1'000'000;  // likewise, while an engine hangs
constexpr uint32_t kTimeoutMs = 100;     // until the daemon says that it does
constexpr uint32_t kNightOneIn = 2'000;  // steps after which more time has passed
constexpr int64_t kNightsNs[] = {1'000'000, 30'000'000, 1'000'000'000, 40'000'000'000};
constexpr uint64_t kStepsPerCheck = 256;
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
  spdlog::set_level(spdlog::level::off);  // what it would say is not of this world
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
    plan.pool = vm_id == 5 ? 'B' : 'A';
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
      } catch (const Death&) {}
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
  const auto make_backend = [this](mediator::EventLoop* its_loop) { return MakeBackend(its_loop); };
  auto loop = std::make_unique<SimLoop>(kWatchesMax, &around_, static_cast<Others*>(this));
  loop_ = loop.get();
  auto lane = mediator::Lane::StartHere(std::move(options), std::move(loop), make_backend, trace, &clock_);
  if (!lane) throw Violation{lane.error()};
  lane_ = std::move(*lane);
  vgpu_device_info device{};
  lane_->Describe('A', &device);
  around_.log.Add("life begins", device.backend, lives_);
  control_->BeginLife(lane_.get(), long_);
  const Inside inside;
  lane_->Serve();
}

// As the mediator's main does.
base::Result<mediator::LaneBackend> World::MakeBackend(mediator::EventLoop* loop) {
  mediator::LaneBackend backend;
  auto workers = std::make_unique<SimWorkers>(&around_, &book_);
  workers_ = workers.get();
  backend.describer = workers_;
  backend.workers = std::move(workers);
  engines_.BeginLife();
  if (around_.random.OneIn(12)) return backend;  // its operator wants no GPU
  auto gpus = std::make_unique<WatchedGpus>(MakeGpus(loop), &engines_, &around_, &book_);
  gpus_ = gpus.get();
  backend.memory = gpus_;
  backend.describer = gpus_;
  backend.gpus = std::move(gpus);
  return backend;
}

std::unique_ptr<mediator::GpuEngines> World::MakeGpus(mediator::EventLoop* loop) {
  const mediator::GpuConfig config = AnyConfig();
  engines_.SetOpening(true);
  const mediator::GpuEngines::Cpu cpu{workers_, workers_};
  auto gpus = mediator::GpuEngines::Create(loop, &clock_, config, cpu, engines_.MakeSource());
  if (!gpus) gpus = mediator::GpuEngines::CreateWithoutGpu(loop, &clock_, config, cpu, engines_.MakeSource());
  engines_.SetOpening(false);
  if (!gpus) throw Violation{gpus.error()};
  return std::move(*gpus);
}

mediator::GpuConfig World::AnyConfig() {
  Random& random = around_.random;
  mediator::GpuConfig config;
  config.resident = !random.OneIn(4);
  config.spare = !random.OneIn(4);
  config.timeout_ms = kTimeoutMs;
  config.idle_ms = 1;
  config.park_s = random.OneIn(4) ? 0 : 1;
  config.copy_from_kib = random.OneIn(2) ? 2 : 2048;
  if (random.OneIn(4)) config.gpus = {{0, {'A'}}};
  if (random.OneIn(8)) config.gpus = {{0, {'A', 'B'}}, {1, {'B'}}};
  return config;
}

// Guests go on while there is no daemon.
void World::EndLife() {
  around_.log.Add("life ends", lives_, around_.steps);
  between_ = false;
  engines_.LastBreath();
  lane_.reset();
  loop_ = nullptr;
  workers_ = nullptr;
  gpus_ = nullptr;
  book_.Clear();
  ++around_.interruptions;
  for (uint32_t count = around_.random.Below(8); count != 0 && !around_.draining; --count) ActOne();
  control_->EndLife();
}

void World::PlanDeath() {
  Random& random = around_.random;
  long_ = random.OneIn(32);
  death_step_ = around_.steps + 50 + random.Below(kLifeSteps) + (long_ ? kLongLife : 0);
  stops_ = random.OneIn(4);
  death_point_ = nullptr;
  if (stops_ || long_ || random.OneIn(3)) return;
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

// A step takes a little; more while the daemon waits for an engine that hangs.
// Now and then the machine sleeps.
void World::SpendTime() {
  Random& random = around_.random;
  const int64_t took_ns = 50 + random.Below(engines_.hang() ? kHangNs : kStepNs);
  around_.hands.now_ns += took_ns;
  around_.hands.computed_ns += took_ns;
  if (random.OneIn(kNightOneIn)) around_.hands.now_ns += kNightsNs[random.Below(std::size(kNightsNs))];
}

void World::OneStep() {
  ++around_.steps;
  SpendTime();
  if (around_.steps >= steps_) around_.draining = true;
  DieIfDue();
  control_->Step();
  workers_->GoOn();
  engines_.GoOn();
  if (around_.steps % kStepsPerCheck == 0) book_.CheckAge();
  if (!around_.draining) return;
  if (AllDone()) throw Finished{};
  if (around_.steps > steps_ + kDrainMax) throw Violation{"it never comes to rest"};
}

void World::CheckIteration() {
  const bool allocated = Allocations::TakeDaemons() != 0;
  if (!engines_.TakeChanged() && allocated) throw Violation{"the daemon has allocated memory in its turn"};
  control_->CheckIteration();
  if (gpus_ != nullptr) gpus_->CheckIteration();
}

void World::GoOn() {
  CheckIteration();
  OneStep();
  for (uint32_t count = around_.random.Below(3); count != 0; --count) ActOne();
  size_t vm = 0;
  const Guest* guest = AnyGuest(&vm);
  if (control_->Serves(vm)) guest->CheckAge();
}

void World::CheckAsleep(bool for_ever) {
  const bool idle = workers_->NextNs() == kNever && engines_.idle();
  if (!for_ever || !idle || !control_->up_to_date()) return;
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
  int64_t next_ns = std::min({workers_->NextNs(), engines_.NextNs(), loop_->NextTimerNs()});
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

Vm* World::Owner(int fd) {
  const auto owns = [fd](const auto& vm) { return vm->Owns(fd); };
  const auto vm = std::find_if(vms_.begin(), vms_.end(), owns);
  return vm == vms_.end() ? nullptr : vm->get();
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
