// SPDX-License-Identifier: Apache-2.0
// An engine without a process and without a GPU: it has an area (engine/engine_abi.h) in memory, takes jobs
// from its ring, keeps the resident kernel's rules, registers memory, falls idle, hangs and dies. What it
// does it does in GoOn, outside of the daemon; the daemon hears of it from its loop.
#ifndef VGPU_SIMULATION_SIM_ENGINE_H_
#define VGPU_SIMULATION_SIM_ENGINE_H_

#include <bitset>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/engine_abi.h"
#include "engine/messages.h"
#include "engine/options.h"
#include "mediator/gpu/engine_handle.h"
#include "mediator/loop/event_loop.h"
#include "ring/consumer.h"
#include "ring/memory.h"
#include "simulation/sim_resident.h"
#include "simulation/surroundings.h"
#include "simulation/vm.h"

namespace vgpu::simulation {

// Whose memory is behind a descriptor that a session has.
class Memories {
 public:
  // Null: nobody's.
  virtual Vm* Owner(int fd) = 0;

 protected:
  ~Memories() = default;
};

class SimEngine;

// Keeps the list of all engines.
class EngineRegister {
 public:
  virtual void Made(SimEngine* engine) = 0;
  virtual void Destroyed(const SimEngine* engine) = 0;
  // The daemon has done something about an engine that it may allocate for.
  virtual void Changed() = 0;

 protected:
  ~EngineRegister() = default;
};

class SimEngine final : public mediator::EngineHandle, private mediator::ReadyHandler {
 public:
  // `gpus` is what it says of the machine. All pointers outlive this.
  SimEngine(const engine::EngineOptions& options, uint32_t gpus, Surroundings* around, Memories* memories,
            EngineRegister* its_register);
  ~SimEngine() override;

  // ---- for the rest of the world ----

  // Does what is due.
  void GoOn();
  // When something is due; kNever: it waits for the daemon.
  int64_t NextNs() const;
  // Something happens to it. `crash`: it dies; `hang`: what it has, and gets, does not end; else it says that
  // it fails.
  enum class Mishap : uint8_t { kCrash, kHang, kFail };
  void Suffer(Mishap mishap);
  // Its start will fail.
  void FailToStart() { fails_to_start_ = true; }
  // The daemon is dead, and it will be in a moment: what it has may end.
  void LastBreath();

  int gpu() const { return options_.gpu; }
  // Has it jobs that it has not answered?
  bool HasWork() const;
  bool hung() const { return doing_ == Doing::kHung && !killed_; }
  bool killed() const { return killed_; }
  bool gone() const { return gone_; }
  // Throws Violation if the daemon lets it hang, or does not let go of its resident kernel.
  void CheckPatience() const;

  // ---- for the daemon ----

  bool Watch(mediator::EventLoop* loop, mediator::EngineOwner* owner) override;
  void Unwatch() override;
  base::Result<void> AwaitReady(std::chrono::milliseconds patience) override;
  const engine::ReadyMessage& hello() const override { return hello_; }
  engine::Area* area() const override { return area_.get(); }
  int kick_fd() const override { return kick_.get(); }
  void Register(uint32_t region, const vgpu_layout& layout, const engine::MessageFds& fds) override;
  void Unregister(uint32_t region) override;
  bool Holds(uint32_t region) const override { return holds_[region]; }
  bool Uses(uint32_t region) const override { return uses_[region]; }
  bool busy() const override { return !registrations_.empty(); }
  int blamed_region() const override { return blamed_region_; }
  void Kill() override;

 private:
  using Memory = ring::RealMemory;

  enum class Doing : uint8_t {
    kLoading,
    kWorking,
    kHung,    // its jobs do not end; the resident kernel goes on
    kBroken,  // nothing happens any more, until it has ended
  };
  // What it says (engine/messages.h).
  struct Said {
    engine::MessageType type;
    uint32_t region = 0;
    std::string text;  // why not; of kRegistered: "" if it is registered
  };
  struct Registration {
    engine::MessageType type;
    uint32_t region;
    RegionAt memory;  // of kRegister
  };
  struct Job {
    uint32_t idx;
    ring::SlotCopy copy;
    int64_t due_ns;
  };

  int64_t Soon(uint32_t most_ns) { return around_->now_ns() + around_->random.Below(most_ns); }
  void NotIdle();
  void Say(engine::MessageType type, uint32_t region = 0, const char* text = "");

  // ---- what it does ----
  void Load();
  void DoRegistration();
  void FinishRegister();
  void Hang();
  bool AsleepWithoutKick();
  void TakeJobs();
  void FinishJobs();
  void Finish(const Job& job);
  void Compute(const Job& job, uint64_t count);
  void LoseMemory(uint32_t region);
  void FallIdle();
  void End();

  // ---- what the daemon hears ----
  void OnReady() override;
  void Hear(const Said& said);
  void HearOfRegistration(const Said& said);
  void Fail(const std::string& reason);
  void NoteBlamedRegion();
  void SendNext();

  const engine::EngineOptions options_;
  Surroundings* const around_;
  Memories* const memories_;
  EngineRegister* const register_;
  const std::unique_ptr<engine::Area> area_;
  const base::UniqueFd kick_;
  const base::UniqueFd said_fd_;

  // The engine's side.
  Doing doing_ = Doing::kLoading;
  bool fails_to_start_ = false;
  bool killed_ = false;
  bool crashed_ = false;  // by itself
  bool gone_ = false;
  int64_t ready_ns_ = 0;
  int64_t end_ns_ = kNever;           // its process ends
  int64_t registration_ns_ = kNever;  // the first of `registrations_` is done
  uint64_t hung_step_ = 0;            // the last one at which it hung and had nothing to do
  Regions regions_;                   // that it has mapped
  ring::Consumer<Memory> consumer_;
  std::vector<Job> jobs_;
  SimResident resident_;
  bool asleep_ = false;
  bool told_idle_ = false;
  int64_t idle_since_ns_ = 0;
  std::deque<Said> said_;  // and not heard

  // The daemon's side.
  mediator::EventLoop* loop_ = nullptr;
  mediator::EngineOwner* owner_ = nullptr;
  int watch_ = -1;
  bool ready_ = false;
  bool failed_ = false;
  int blamed_region_ = -1;
  engine::ReadyMessage hello_{};
  std::bitset<engine::kRegionsMax> holds_;
  std::bitset<engine::kRegionsMax> uses_;
  std::deque<Registration> registrations_;  // the first one is under way
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_ENGINE_H_
