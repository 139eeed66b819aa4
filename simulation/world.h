// SPDX-License-Identifier: Apache-2.0
// A daemon, its guests and its GPU, in one thread and without time:
// everything that happens follows from one seed.
#ifndef VGPU_SIMULATION_WORLD_H_
#define VGPU_SIMULATION_WORLD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "mediator/gpu/gpu_engines.h"
#include "mediator/lane/lane.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/event_loop.h"
#include "mediator/process/config.h"
#include "simulation/control.h"
#include "simulation/order_check.h"
#include "simulation/piece_book.h"
#include "simulation/sim_engines.h"
#include "simulation/sim_loop.h"
#include "simulation/sim_workers.h"
#include "simulation/surroundings.h"
#include "simulation/vm.h"
#include "simulation/watched_gpus.h"

namespace vgpu::simulation {

struct Outcome {
  std::string violation;  // empty: all promises were kept
  uint64_t steps = 0;
  uint64_t lives = 0;    // of daemons
  uint64_t answers = 0;  // that guests have checked
  uint64_t hash = 0;     // of all that happened
};

class World final : private Others, private Memories {
 public:
  // `print`: every event goes to standard error.
  World(uint64_t seed, uint64_t steps, bool print);
  ~World() override;

  // Goes on for so many steps, then until every honest guest has its answers. Once.
  Outcome Run();

 private:
  void MakeVms();
  void Live();
  base::Result<mediator::LaneBackend> MakeBackend(mediator::EventLoop* loop);
  std::unique_ptr<mediator::GpuEngines> MakeGpus(mediator::EventLoop* loop);
  mediator::GpuConfig AnyConfig();
  void EndLife();
  void PlanDeath();
  void GoOn() override;
  void CheckAsleep(bool for_ever) override;
  bool GoOnAsleep(int64_t deadline_ns) override;
  int64_t SystemCallNs(int fd) override;
  Vm* Owner(int fd) override;
  void OneStep();
  void SpendTime();
  void CheckIteration();
  void AtCrashPoint(const char* name);
  void DieIfDue();
  bool ActOne();
  bool ActAny();
  Guest* AnyGuest(size_t* vm);
  bool AllDone() const;
  int64_t NextNs() const;

  Surroundings around_;
  const uint64_t steps_;
  const mediator::Clock clock_{&around_.hands};
  OrderCheck order_;
  std::vector<std::unique_ptr<Vm>> vms_;
  std::unique_ptr<Control> control_;
  PieceBook book_{&around_};
  SimEngines engines_{&around_, static_cast<Memories*>(this)};
  std::unique_ptr<mediator::Lane> lane_;
  // The lane's.
  SimLoop* loop_ = nullptr;
  SimWorkers* workers_ = nullptr;
  WatchedGpus* gpus_ = nullptr;  // null: it has none
  uint64_t lives_ = 0;
  // How this life ends.
  uint64_t death_step_ = 0;
  bool long_ = false;   // it is of those that live long, and are mostly left alone
  bool stops_ = false;  // it is told to stop then, and does not die
  const char* death_point_ = nullptr;
  uint32_t death_hits_ = 0;
  bool between_ = false;  // a guest acts within a step of the daemon
};

// A world of its own, from its beginning to its end.
Outcome Simulate(uint64_t seed, uint64_t steps, bool print = false);

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_WORLD_H_
