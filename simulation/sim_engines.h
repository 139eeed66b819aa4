// SPDX-License-Identifier: Apache-2.0
// All engines of a simulated machine, and where they come from.
#ifndef VGPU_SIMULATION_SIM_ENGINES_H_
#define VGPU_SIMULATION_SIM_ENGINES_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "mediator/gpu/engine_handle.h"
#include "mediator/gpu/engine_source.h"
#include "simulation/sim_engine.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class SimSource;

class SimEngines final : private EngineRegister {
 public:
  // Both outlive this.
  SimEngines(Surroundings* around, Memories* memories) : around_(around), memories_(memories) {}

  // A daemon starts: it has as many GPUs as the seed says.
  void BeginLife();
  // Where its engines come from. One at a time.
  std::unique_ptr<mediator::EngineSource> MakeSource();
  // Until this is false, whoever orders an engine waits for it.
  void SetOpening(bool opening) { opening_ = opening; }
  // It is dead, and its engines will be in a moment.
  void LastBreath();

  // Does what is due. Something may happen to an engine. Throws Violation.
  void GoOn();
  // When something is due; kNever: nothing.
  int64_t NextNs() const;
  // Does nobody wait for an engine, or for its end? What one has that was killed is answered when it is gone.
  bool idle() const;
  // Does the daemon wait for an engine that hangs?
  bool hang() const;
  // No engine of this GPU lives, nor is ordered.
  bool none(int gpu) const;
  // Has an engine of this GPU the region?
  bool AnyHolds(int gpu, uint32_t region) const;
  // Has an engine been ordered, or killed, since the last time? For that the daemon may allocate memory.
  bool TakeChanged() { return std::exchange(changed_, false); }

  // ---- for the source ----

  // An answer to the order. Null: refused.
  std::unique_ptr<mediator::EngineHandle> Start(const mediator::EngineOrder& order);
  bool opening() const { return opening_; }
  Surroundings* around() const { return around_; }
  void Closed() { source_ = nullptr; }
  void Changed() override { changed_ = true; }

 private:
  void Made(SimEngine* engine) override { engines_.push_back(engine); }
  void Destroyed(const SimEngine* engine) override;
  void MakeMishap();

  Surroundings* const around_;
  Memories* const memories_;
  std::vector<SimEngine*> engines_;
  SimSource* source_ = nullptr;
  bool opening_ = false;
  bool changed_ = false;
  // Of this life.
  uint32_t gpus_ = 1;
  uint32_t start_fails_one_in_ = 1;
};

// A daemon's.
class SimSource final : public mediator::EngineSource {
 public:
  // `engines` outlives this.
  explicit SimSource(SimEngines* engines);
  ~SimSource() override;

  // Does what is due.
  void GoOn();
  int64_t NextNs() const;
  bool HasOrders(int gpu) const;

  void Order(std::unique_ptr<mediator::EngineOrder> order) override;
  std::unique_ptr<mediator::EngineOrder> Take() override;
  int fd() const override { return fd_.get(); }
  void Reap(std::unique_ptr<mediator::EngineHandle> engine) override;

 private:
  struct Entry {
    std::unique_ptr<mediator::EngineOrder> order;
    int64_t due_ns;
    bool answered = false;
  };

  void Answer(Entry* entry);

  SimEngines* const engines_;
  const base::UniqueFd fd_;
  std::deque<Entry> entries_;  // the answered ones first
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_ENGINES_H_
