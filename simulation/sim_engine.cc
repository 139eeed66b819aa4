// SPDX-License-Identifier: Apache-2.0
#include "simulation/sim_engine.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "gpu/batch_abi.h"
#include "mediator/loop/eventfd.h"
#include "operations/cpu.h"
#include "ring/abi.h"
#include "ring/ring_ref.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {
namespace {

constexpr uint32_t kLoadNs = 200'000;
constexpr uint32_t kRegistrationNs = 40'000;  // a registration
constexpr uint32_t kJobNs = 2'000;
constexpr uint32_t kEndNs = 100'000;    // from a kill to the end, as a rule
constexpr uint32_t kSlowEnds = 20;      // times that, for some
constexpr uint64_t kPatience = 15'000;  // steps until an engine that hangs is killed
constexpr uint32_t kLossOneIn = 3'000;  // jobs of a hostile VM that find a page missing

base::UniqueFd MakeEventfd() { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

uint32_t KindOf(const ring::SlotCopy& copy) { return vgpu_word_data(copy.submit) & 0xffff; }
uint32_t RegionOf(const ring::SlotCopy& copy) { return vgpu_word_seq(copy.arg[0]); }

}  // namespace

SimEngine::SimEngine(const engine::EngineOptions& options, uint32_t gpus, Surroundings* around,
                     Memories* memories, EngineRegister* its_register)
    : options_(options),
      around_(around),
      memories_(memories),
      register_(its_register),
      area_(std::make_unique<engine::Area>()),
      kick_(MakeEventfd()),
      said_fd_(MakeEventfd()),
      consumer_(ring::RingAt(area_->jobs, engine::kJobEntries), engine::kJobEpoch),
      resident_(options_, area_.get(), &regions_, around) {
  ready_ns_ = Soon(kLoadNs) + int64_t{options.delay_ms} * 1'000'000;
  hello_.gpus = gpus;
  engine::SetText(hello_.name, "simulated GPU");
  engine::SetText(hello_.driver, "none");
  register_->Made(this);
}

SimEngine::~SimEngine() {
  assert(watch_ < 0);
  register_->Destroyed(this);
}

void SimEngine::NotIdle() {
  idle_since_ns_ = around_->now_ns();
  told_idle_ = false;
}

void SimEngine::Say(engine::MessageType type, uint32_t region, const char* text) {
  around_->log.Add("engine says", type, region);
  said_.push_back({type, region, text});
  mediator::SignalEventfd(said_fd_.get());
}

// ---- what happens to it ----

void SimEngine::Suffer(Mishap mishap) {
  if (gone_ || (doing_ != Doing::kWorking && doing_ != Doing::kLoading)) return;
  if (mishap == Mishap::kHang && doing_ == Doing::kLoading) return;
  around_->log.Add("engine suffers", static_cast<uint64_t>(mishap), jobs_.size());
  ++around_->interruptions;
  if (mishap == Mishap::kHang) return Hang();
  doing_ = Doing::kBroken;
  if (mishap == Mishap::kCrash) {
    crashed_ = true;
    end_ns_ = around_->now_ns();
  } else {
    end_ns_ = Soon(kEndNs);
    Say(engine::kFailed, 0, "an illegal address");
  }
}

void SimEngine::Hang() {
  doing_ = Doing::kHung;
  hung_step_ = around_->steps;
}

void SimEngine::Kill() {
  const Outside outside;
  if (killed_) return;
  around_->log.Add("engine killed", static_cast<uint64_t>(doing_), jobs_.size());
  killed_ = true;
  ++around_->interruptions;
  register_->Changed();
  resident_.Settle();
  end_ns_ = std::min(end_ns_, Soon(around_->random.OneIn(8) ? kSlowEnds * kEndNs : kEndNs));
}

// What it had may have been done, or a part of it.
void SimEngine::End() {
  around_->log.Add("engine ends", jobs_.size());
  for (const Job& job : jobs_) {
    const uint32_t luck = around_->random.Below(3);
    if (luck == 0 && doing_ != Doing::kHung) Finish(job);
    if (luck == 1) Compute(job, job.copy.arg[1] / 2);
  }
  jobs_.clear();
  gone_ = true;
  doing_ = Doing::kBroken;
  mediator::SignalEventfd(said_fd_.get());
}

void SimEngine::LastBreath() {
  if (gone_ || doing_ != Doing::kWorking) return;
  resident_.Settle();
  for (const Job& job : jobs_) {
    if (around_->random.OneIn(2)) Finish(job);
  }
  jobs_.clear();
}

// ---- what it does ----

void SimEngine::GoOn() {
  if (gone_) return;
  if (end_ns_ <= around_->now_ns()) return End();
  switch (doing_) {
    case Doing::kLoading: return Load();
    case Doing::kBroken: return;
    case Doing::kHung:
      if (jobs_.empty() && !consumer_.Ready()) hung_step_ = around_->steps;
      resident_.GoOn();
      return DoRegistration();
    case Doing::kWorking:
      DoRegistration();
      if (doing_ != Doing::kWorking) return;
      TakeJobs();
      FinishJobs();
      resident_.GoOn();
      return FallIdle();
  }
}

void SimEngine::Load() {
  if (ready_ns_ > around_->now_ns()) return;
  if (fails_to_start_) {
    doing_ = Doing::kBroken;
    end_ns_ = Soon(kEndNs);
    return Say(engine::kFailed, 0, "the GPU takes one process only");
  }
  doing_ = Doing::kWorking;
  NotIdle();
  Say(engine::kReady);
}

void SimEngine::DoRegistration() {
  if (registrations_.empty() || registration_ns_ > around_->now_ns()) return;
  if (doing_ == Doing::kHung) {  // it notices that itself (engine/deadline.h)
    registration_ns_ = kNever;
    doing_ = Doing::kBroken;
    end_ns_ = Soon(kEndNs);
    return Say(engine::kHangs, 0, "the driver hangs");
  }
  const Registration& registration = registrations_.front();
  if (registration.type == engine::kRegister) return FinishRegister();
  resident_.Forbid();
  if (!resident_.away()) return;
  regions_.Remove(registration.region);
  resident_.Allow();
  registration_ns_ = kNever;
  Say(engine::kUnregistered, registration.region);
}

void SimEngine::FinishRegister() {
  const Registration& registration = registrations_.front();
  registration_ns_ = kNever;
  NotIdle();
  const uint32_t luck = around_->draining ? 100 : around_->random.Below(100);
  if (luck < 2) return Suffer(Mishap::kCrash);
  if (luck < 3) {
    ++around_->interruptions;
    doing_ = Doing::kBroken;
    end_ns_ = Soon(kEndNs);
    return Say(engine::kHangs, 0, "the driver hangs");
  }
  if (luck < 7) return Say(engine::kRegistered, registration.region, "the GPU has no room for it");
  if (registration.memory.vm == nullptr) throw Violation{"an engine was told to register memory of nobody's"};
  area_->lost[registration.region].store(0, std::memory_order_relaxed);
  regions_.Add(registration.region, registration.memory);
  Say(engine::kRegistered, registration.region);
}

// ---- jobs ----

// True: nobody has kicked it since it fell asleep.
bool SimEngine::AsleepWithoutKick() {
  if (!asleep_) return false;
  uint64_t count = 0;
  if (read(kick_.get(), &count, sizeof count) != sizeof count) return true;
  asleep_ = false;
  NotIdle();
  consumer_.DisarmKick();
  return false;
}

void SimEngine::TakeJobs() {
  if (AsleepWithoutKick() || around_->random.OneIn(4)) return;
  bool any = false;
  for (ring::SlotCopy copy; consumer_.Take(&copy); any = true) {
    jobs_.push_back({consumer_.cons() - 1, copy, Soon(kJobNs)});
  }
  if (any) {
    NotIdle();
  } else if (around_->random.OneIn(4)) {
    asleep_ = consumer_.ArmKick();
  }
}

void SimEngine::FinishJobs() {
  for (size_t i = 0; i < jobs_.size();) {
    if (jobs_[i].due_ns > around_->now_ns()) {
      ++i;
      continue;
    }
    const uint32_t kind = KindOf(jobs_[i].copy);
    if (kind == VGPU_JOB_FAULT) return Suffer(Mishap::kFail);
    if (kind == VGPU_JOB_HANG) return Suffer(Mishap::kHang);
    Finish(jobs_[i]);
    jobs_[i] = jobs_.back();
    jobs_.pop_back();
  }
}

// Its answer is there when all else of it is.
void SimEngine::Finish(const Job& job) {
  const uint32_t kind = KindOf(job.copy);
  if (kind == VGPU_JOB_FAULT || kind == VGPU_JOB_HANG) return;
  const uint32_t region = RegionOf(job.copy);
  if (!regions_.Has(region)) throw Violation{"a job names memory that its engine does not have"};
  uint32_t data = 0;
  if (kind == VGPU_JOB_ADD) {
    data = vgpu_word_data(job.copy.arg[1]) + vgpu_word_seq(job.copy.arg[1]);
    auto* done = reinterpret_cast<uint64_t*>(regions_.At(region) + job.copy.arg[2]);
    Memory::StoreRelease(done, vgpu_word(data, static_cast<uint32_t>(job.copy.arg[3])));
    resident_.Want();
  } else {
    Compute(job, job.copy.arg[1]);
  }
  LoseMemory(region);
  const auto& jobs = consumer_.ring();
  Memory::StoreRelaxed(&area_->job_when[job.idx % engine::kJobEntries],
                       static_cast<uint64_t>(around_->now_ns()));
  Memory::StoreRelease(jobs.done(job.idx), vgpu_word(data, jobs.tag(engine::kJobEpoch, job.idx) << 8));
}

// The first `count` elements of a vector.
void SimEngine::Compute(const Job& job, uint64_t count) {
  const uint32_t region = RegionOf(job.copy);
  if (!regions_.Has(region)) throw Violation{"a job names memory that its engine does not have"};
  char* base = regions_.At(region);
  const char* a = base + job.copy.arg[2];
  const char* b = base + job.copy.arg[3];
  char* c = base + job.copy.arg[4];
  const uint32_t kind = KindOf(job.copy);
  if (kind >= VGPU_JOB_VECTORS) operations::Compute(kind - VGPU_JOB_VECTORS, a, b, c, 0, count);
}

void SimEngine::LoseMemory(uint32_t region) {
  if (!regions_.VmAt(region).plan().hostile || around_->draining) return;
  if (around_->random.OneIn(kLossOneIn)) area_->lost[region].store(1, std::memory_order_relaxed);
}

void SimEngine::FallIdle() {
  if (!jobs_.empty() || !resident_.away()) return NotIdle();
  if (!asleep_ || told_idle_ || options_.park_s == 0) return;
  if (around_->now_ns() - idle_since_ns_ < int64_t{options_.park_s} * 1'000'000'000) return;
  told_idle_ = true;
  Say(engine::kIdle);
}

// ---- for the world ----

bool SimEngine::HasWork() const {
  return !gone_ &&
         (!jobs_.empty() || (doing_ != Doing::kLoading && consumer_.Ready()) || resident_.HasWork());
}

int64_t SimEngine::NextNs() const {
  if (gone_ || doing_ == Doing::kBroken) return gone_ ? kNever : end_ns_;
  if (doing_ == Doing::kLoading) return std::min(end_ns_, ready_ns_);
  int64_t next_ns = std::min(end_ns_, resident_.NextNs());
  if (!registrations_.empty()) next_ns = std::min(next_ns, registration_ns_);
  if (doing_ == Doing::kHung) return next_ns;
  for (const Job& job : jobs_) next_ns = std::min(next_ns, job.due_ns);
  if (!asleep_) return std::min(next_ns, around_->now_ns());
  if (!told_idle_ && options_.park_s != 0) {
    next_ns = std::min(next_ns, idle_since_ns_ + int64_t{options_.park_s} * 1'000'000'000);
  }
  return next_ns;
}

void SimEngine::CheckPatience() const {
  if (gone_ || killed_ || doing_ == Doing::kLoading || doing_ == Doing::kBroken) return;
  resident_.CheckPatience();
  if (doing_ == Doing::kHung && around_->steps - hung_step_ > kPatience) {
    throw Violation{"an engine hangs, and nobody replaces it"};
  }
}

// ---- for the daemon ----

bool SimEngine::Watch(mediator::EventLoop* loop, mediator::EngineOwner* owner) {
  const Outside outside;
  if (around_->random.OneIn(100)) return false;  // the loop has no room
  loop_ = loop;
  owner_ = owner;
  watch_ = loop->Watch(said_fd_.get(), this);
  return watch_ >= 0;
}

void SimEngine::Unwatch() {
  if (watch_ >= 0) loop_->Unwatch(std::exchange(watch_, -1));
}

base::Result<void> SimEngine::AwaitReady(std::chrono::milliseconds) {
  const Outside outside;
  around_->hands.now_ns = std::max(around_->now_ns(), ready_ns_);
  if (fails_to_start_) return tl::make_unexpected(std::string("the GPU's engine died at its start"));
  doing_ = Doing::kWorking;
  NotIdle();
  ready_ = true;
  return {};
}

void SimEngine::Register(uint32_t region, const vgpu_layout&, const engine::MessageFds& fds) {
  const Outside outside;
  if (!ready_ && !failed_) throw Violation{"an engine that is not ready was told to register memory"};
  const Vm* vm = memories_->Owner(fds.region);
  holds_[region] = true;
  registrations_.push_back({engine::kRegister, region, {vm, vm == nullptr ? 0 : vm->attached()}});
  if (registrations_.size() == 1) SendNext();
}

void SimEngine::Unregister(uint32_t region) {
  const Outside outside;
  registrations_.push_back({engine::kUnregister, region, {}});
  if (registrations_.size() == 1) SendNext();
}

// To speak to one that has ended shows that.
void SimEngine::SendNext() {
  if (registrations_.empty()) return;
  if (gone_ && around_->random.OneIn(2)) return Fail("it does not take messages");
  registration_ns_ = Soon(kRegistrationNs);
}

void SimEngine::Fail(const std::string& reason) {
  if (failed_) return;
  failed_ = true;
  ready_ = false;
  owner_->OnEngineFailed(this, reason);
}

void SimEngine::NoteBlamedRegion() {
  if (blamed_region_ >= 0 || registrations_.empty() || registrations_.front().type != engine::kRegister)
    return;
  blamed_region_ = static_cast<int>(registrations_.front().region);
}

void SimEngine::OnReady() {
  const Outside outside;
  mediator::DrainEventfd(said_fd_.get());
  while (!said_.empty()) {
    const Said said = std::move(said_.front());
    said_.pop_front();
    Hear(said);
  }
  if (!gone_) return;
  if (crashed_) NoteBlamedRegion();
  Unwatch();
  ++around_->interruptions;
  Fail("it ended");
  holds_.reset();
  uses_.reset();
  registrations_.clear();
  owner_->OnEngineGone(this);  // which destroys it
}

void SimEngine::Hear(const Said& said) {
  switch (said.type) {
    case engine::kReady:
      if (failed_) return;
      ready_ = true;
      return owner_->OnEngineReady(this);
    case engine::kHangs: NoteBlamedRegion(); return Fail(said.text);
    case engine::kFailed: return Fail(said.text);
    case engine::kIdle:
      if (ready_) owner_->OnEngineIdle(this);
      return;
    case engine::kRegistered:
    case engine::kUnregistered: return HearOfRegistration(said);
    case engine::kRegister:
    case engine::kUnregister: break;
  }
  assert(false && "no engine says that");
}

void SimEngine::HearOfRegistration(const Said& said) {
  const bool registered = said.type == engine::kRegistered && said.text.empty();
  registrations_.pop_front();
  SendNext();
  uses_[said.region] = registered;
  const auto same = [&said](const Registration& registration) { return registration.region == said.region; };
  const bool asked = std::any_of(registrations_.begin(), registrations_.end(), same);
  holds_[said.region] = registered || (said.type == engine::kRegistered && asked);
  if (said.type == engine::kRegistered) return owner_->OnRegistered(this, said.region, said.text);
  owner_->OnUnregistered(this, said.region);
}

}  // namespace vgpu::simulation
