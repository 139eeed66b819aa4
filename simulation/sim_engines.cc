// SPDX-License-Identifier: Apache-2.0
#include "simulation/sim_engines.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <string>

#include "mediator/loop/eventfd.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {

using mediator::EngineHandle;
using mediator::EngineOrder;

namespace {

constexpr uint32_t kMishapOneIn = 1'200;  // steps
constexpr uint32_t kOrderNs = 50'000;

}  // namespace

// ---- all engines ----

void SimEngines::BeginLife() {
  assert(engines_.empty() && source_ == nullptr);
  Random& random = around_->random;
  gpus_ = random.OneIn(4) ? 2 : 1;
  start_fails_one_in_ = random.OneIn(12) ? 1 : 12;
  changed_ = false;
}

std::unique_ptr<mediator::EngineSource> SimEngines::MakeSource() {
  assert(source_ == nullptr);
  auto source = std::make_unique<SimSource>(this);
  source_ = source.get();
  return source;
}

void SimEngines::LastBreath() {
  if (around_->draining || !around_->random.OneIn(2)) return;
  for (SimEngine* engine : engines_) engine->LastBreath();
}

void SimEngines::Destroyed(const SimEngine* engine) {
  Changed();
  std::erase(engines_, engine);
}

void SimEngines::GoOn() {
  if (source_ == nullptr) return;
  source_->GoOn();
  for (SimEngine* engine : engines_) {
    engine->GoOn();
    engine->CheckPatience();
  }
  if (!around_->draining && around_->random.OneIn(kMishapOneIn)) MakeMishap();
}

void SimEngines::MakeMishap() {
  Random& random = around_->random;
  if (random.OneIn(4)) start_fails_one_in_ = random.OneIn(2) ? 1 : 12;
  if (engines_.empty()) return;
  SimEngine* engine = engines_[random.Below(static_cast<uint32_t>(engines_.size()))];
  using Mishap = SimEngine::Mishap;
  constexpr Mishap kMishaps[] = {Mishap::kCrash, Mishap::kHang, Mishap::kFail};
  engine->Suffer(kMishaps[random.Below(3)]);
}

int64_t SimEngines::NextNs() const {
  int64_t next_ns = source_ == nullptr ? kNever : source_->NextNs();
  for (const SimEngine* engine : engines_) next_ns = std::min(next_ns, engine->NextNs());
  return next_ns;
}

bool SimEngines::idle() const {
  return std::none_of(engines_.begin(), engines_.end(),
                      [](const SimEngine* engine) { return engine->killed() || engine->HasWork(); });
}

bool SimEngines::hang() const {
  return std::any_of(engines_.begin(), engines_.end(),
                     [](const SimEngine* engine) { return engine->hung() && engine->HasWork(); });
}

bool SimEngines::none(int gpu) const {
  const auto its = [gpu](const SimEngine* engine) { return engine->gpu() == gpu; };
  const bool ordered = source_ != nullptr && source_->HasOrders(gpu);
  return !ordered && std::none_of(engines_.begin(), engines_.end(), its);
}

bool SimEngines::AnyHolds(int gpu, uint32_t region) const {
  return std::any_of(engines_.begin(), engines_.end(), [gpu, region](const SimEngine* engine) {
    return engine->gpu() == gpu && engine->Holds(region);
  });
}

std::unique_ptr<EngineHandle> SimEngines::Start(const EngineOrder& order) {
  Random& random = around_->random;
  const bool exists = static_cast<uint32_t>(order.options.gpu) < gpus_;
  if (!exists || (order.unseen && random.OneIn(2)) || random.OneIn(20)) return nullptr;
  auto engine = std::make_unique<SimEngine>(order.options, gpus_, around_, memories_,
                                            static_cast<EngineRegister*>(this));
  if (!around_->draining && random.OneIn(start_fails_one_in_)) engine->FailToStart();
  return engine;
}

// ---- a daemon's source of them ----

SimSource::SimSource(SimEngines* engines) : engines_(engines), fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

SimSource::~SimSource() {
  entries_.clear();  // with engines that nobody has taken
  engines_->Closed();
}

void SimSource::Order(std::unique_ptr<EngineOrder> order) {
  const Outside outside;
  engines_->Changed();
  Surroundings* around = engines_->around();
  around->log.Add("engine ordered", order->gpu, order->engine);
  entries_.push_back({std::move(order), around->now_ns() + around->random.Below(kOrderNs)});
  if (engines_->opening()) Answer(&entries_.back());
}

void SimSource::Answer(Entry* entry) {
  entry->answered = true;
  entry->order->process = engines_->Start(*entry->order);
  if (entry->order->process == nullptr && !entry->order->unseen) entry->order->error = "the system is full";
  mediator::SignalEventfd(fd_.get());
}

// In the order of the orders.
void SimSource::GoOn() {
  for (Entry& entry : entries_) {
    if (entry.answered) continue;
    if (entry.due_ns > engines_->around()->now_ns()) return;
    Answer(&entry);
  }
}

int64_t SimSource::NextNs() const {
  for (const Entry& entry : entries_) {
    if (!entry.answered) return entry.due_ns;
  }
  return kNever;
}

bool SimSource::HasOrders(int gpu) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [gpu](const Entry& entry) { return entry.order->options.gpu == gpu; });
}

std::unique_ptr<EngineOrder> SimSource::Take() {
  const Outside outside;
  if (entries_.empty() || !entries_.front().answered) return nullptr;
  engines_->Changed();
  auto order = std::move(entries_.front().order);
  entries_.pop_front();
  return order;
}

void SimSource::Reap(std::unique_ptr<EngineHandle> engine) {
  const Outside outside;
  engines_->Changed();
  engine.reset();
}

}  // namespace vgpu::simulation
