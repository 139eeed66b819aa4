// SPDX-License-Identifier: Apache-2.0
// An event loop that never waits: the rest of the world goes on while the daemon looks, or sleeps.
// Descriptors are real, and looked at with poll.
#ifndef VGPU_SIMULATION_SIM_LOOP_H_
#define VGPU_SIMULATION_SIM_LOOP_H_

#include <poll.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "mediator/loop/event_loop.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

// The rest of the world, as the loop sees it.
class Others {
 public:
  virtual ~Others() = default;
  // An iteration of the daemon begins.
  virtual void GoOn() = 0;
  // The daemon sleeps, and nothing is ready. `for_ever`: no time is set at which it wakes up by itself.
  virtual void CheckAsleep(bool for_ever) = 0;
  // They go on while it sleeps, until one of them has done something. False: `deadline_ns` has come.
  virtual bool GoOnAsleep(int64_t deadline_ns) = 0;
  // How long a system call on this descriptor takes.
  virtual int64_t SystemCallNs(int fd) = 0;
};

class SimLoop final : public mediator::EventLoop {
 public:
  // Both outlive this.
  SimLoop(uint32_t watches_max, Surroundings* around, Others* others)
      : around_(around), others_(others), watches_(watches_max), polls_(watches_max, pollfd{-1, 0, 0}) {}

  int Watch(int fd, mediator::ReadyHandler* handler, uint32_t events) override;
  void UnwatchAll(std::span<const int> ids) override;
  int Poll() override;
  void Wait(int64_t timeout_ns) override;
  int RunReady() override;
  void SignalOwner(int fd) override;
  void DrainKick(int fd) override;
  base::UniqueFd MakeTimer() override;
  void SetTimer(int fd, int64_t delay_ns) override;

  // When a timer is due; kNever: none is set.
  int64_t NextTimerNs() const;

 private:
  struct Watched {
    mediator::ReadyHandler* handler = nullptr;
    bool ready = false;
  };

  struct Timer {
    int fd;
    int64_t due_ns;
  };

  void FireTimers();
  bool FindReady();
  void Spend(int fd);

  Surroundings* const around_;
  Others* const others_;
  std::vector<Watched> watches_;
  std::vector<pollfd> polls_;  // of the same places
  std::vector<Timer> timers_;  // that are set
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_LOOP_H_
