// SPDX-License-Identifier: Apache-2.0
// The resident kernel of a simulated engine, and its life,
// by the rules of gpu/resident_abi.h and engine/engine_abi.h.
#ifndef VGPU_SIMULATION_SIM_RESIDENT_H_
#define VGPU_SIMULATION_SIM_RESIDENT_H_

#include <cstdint>
#include <vector>

#include "engine/engine_abi.h"
#include "engine/options.h"
#include "ring/memory.h"
#include "simulation/sim_regions.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class SimResident {
 public:
  // All outlive this.
  SimResident(const engine::EngineOptions& options, engine::Area* area, const Regions* regions,
              Surroundings* around)
      : options_(options), area_(area), regions_(regions), around_(around) {}

  // An add came by the job ring: it comes, if it may.
  void Want();
  // It leaves, and does not come back before Allow.
  void Forbid();
  void Allow() { forbidden_ = false; }
  // Does what is due.
  void GoOn();
  // What it has begun to write, it has written.
  void Settle();

  bool away() const { return state_ == engine::kAway; }
  // Has it requests that it has not answered?
  bool HasWork() const;
  // When something is due; kNever: it waits for the daemon.
  int64_t NextNs() const;
  // Throws Violation if the daemon does not let it go.
  void CheckPatience() const;

 private:
  using Memory = ring::RealMemory;

  // A request of an entry.
  struct Add {
    uint32_t entry;
    uint32_t lap;
    uint64_t to;
    uint64_t tag;
    uint32_t sum;
    int64_t due_ns;
    bool finished = false;  // the host's word is written, the guest's is not
  };

  void SetState(engine::ResidentState state);
  void Leave();
  bool Next(Add* add) const;
  void Take();
  void Answer(const Add& add);
  void Finish(const Add& add);
  void Write();

  const engine::EngineOptions& options_;
  engine::Area* const area_;
  const Regions* const regions_;
  Surroundings* const around_;
  engine::ResidentState state_ = engine::kAway;
  uint32_t generation_ = 0;
  uint64_t taken_ = 0;  // since it has come
  bool forbidden_ = false;
  uint64_t asked_ = 0;
  int64_t asked_since_ns_ = 0;  // when `asked_` last changed
  uint64_t leaving_step_ = 0;
  std::vector<Add> adds_;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_RESIDENT_H_
