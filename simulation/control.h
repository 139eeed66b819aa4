// SPDX-License-Identifier: Apache-2.0
// Control's side of a simulated lane: attaches VMs, resets, fences, moves and ends them at times of the
// seed's choosing, by the messages that the mediator's control uses, and checks what the lane reports.
#ifndef VGPU_SIMULATION_CONTROL_H_
#define VGPU_SIMULATION_CONTROL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mediator/lane/lane.h"
#include "mediator/lane/session.h"
#include "mediator/loop/clock.h"
#include "simulation/surroundings.h"
#include "simulation/vm.h"

namespace vgpu::simulation {

class Control {
 public:
  // All outlive this.
  Control(Surroundings* around, const mediator::Clock* clock, const std::vector<std::unique_ptr<Vm>>& vms);

  // A lane has started: all VMs attach. `lane` stays until EndLife. `calm`: VMs that are served are mostly
  // left alone.
  void BeginLife(mediator::Lane* lane, bool calm);
  // It has stopped, or died, and is gone.
  void EndLife();

  // A message at most.
  void Step();
  // Nothing that a lane has reported waits to be looked at.
  bool up_to_date() const;

  // Is the VM attached, so that its guests can be heard?
  bool Connected(size_t vm) const { return entries_[vm].standing != Standing::kAway; }
  // Is it served like any other, and nothing is changed at it?
  bool Serves(size_t vm) const;
  // Who is about to leave or to be reset has not done so yet.
  bool Settled() const;
  // Of an iteration: no VM has given more than its share. Throws Violation.
  void CheckIteration();

 private:
  enum class Standing : uint8_t { kAway, kBeginning, kServed, kMoving, kEnding };

  struct Entry {
    Vm* vm = nullptr;
    std::unique_ptr<mediator::Session> session;
    Standing standing = Standing::kAway;
    bool begun = false;        // by the lane
    bool slow = false;         // to be moved
    bool resetting = false;    // asked for, and not done
    bool fenced = false;       // as far as control knows
    bool quarantined = false;  // by control
    uint64_t taken = 0;        // requests, at the last iteration
    uint64_t serial = 0;       // of the session that had taken them
  };

  using Command = mediator::LaneCommand::Kind;

  void Post(Entry* entry, Command command, mediator::FenceReason reason = {});
  void Attach(Entry* entry);
  void Reset(Entry* entry);
  void End(Entry* entry);
  void Act(Entry* entry);
  void ActOnServed(Entry* entry);
  void Heard(const mediator::LaneReport& report);
  void HeardBegun(Entry* entry);
  void MoveIfSlow(Entry* entry);
  void HeardReset(Entry* entry, const mediator::LaneReport& report);
  void HeardEnded(Entry* entry);
  static void Require(bool holds, const Entry& entry, const char* what);

  Surroundings* const around_;
  const mediator::Clock* const clock_;
  std::vector<Entry> entries_;
  mediator::Lane* lane_ = nullptr;
  bool calm_ = false;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_CONTROL_H_
