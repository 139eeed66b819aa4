// SPDX-License-Identifier: Apache-2.0
// A simulated VM: its memory, its descriptors, and who uses its rings. It outlives sessions and daemons, as
// QEMU does.
#ifndef VGPU_SIMULATION_VM_H_
#define VGPU_SIMULATION_VM_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/mapping.h"
#include "base/unique_fd.h"
#include "mediator/lane/session.h"
#include "ring/abi.h"
#include "simulation/guest.h"
#include "simulation/honest_guest.h"
#include "simulation/order_check.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

struct VmPlan {
  uint32_t vm_id = 0;
  uint32_t pool = 'A';
  uint32_t priority = 0;
  uint32_t ring_count = 1;
  uint32_t entries = 8;
  bool short_arenas = true;
  bool hostile = false;
  bool slow_calls = false;  // system calls on its descriptors may take long
  Manners manners;
};

class Vm {
 public:
  // `around` and `order` outlive this.
  Vm(const VmPlan& plan, Surroundings* around, OrderCheck* order);

  const VmPlan& plan() const { return plan_; }
  const vgpu_layout& layout() const { return layout_; }
  char* memory() const { return memory_.data(); }
  const std::vector<std::unique_ptr<Guest>>& guests() const { return guests_; }

  // What an attach makes: a session of the memory as it is.
  std::unique_ptr<mediator::Session> MakeSession();
  // That session is gone.
  void SessionGone() { lent_.clear(); }
  // Is there one?
  bool lent() const { return !lent_.empty(); }
  // How many there were.
  uint64_t attached() const { return attached_; }
  // Is it a descriptor of its session?
  bool Owns(int fd) const;
  // It begins anew, with memory that nobody has used.
  void Renew();
  // Its programs are gone in the middle of whatever they did.
  void Drop();
  // They do nothing until Drop.
  void Halt();

 private:
  mediator::PeerFd Lend(const base::UniqueFd& fd);
  mediator::RingEventfds LendEventfds(uint32_t ring);

  const VmPlan plan_;
  Surroundings* const around_;
  OrderCheck* const order_;
  vgpu_layout layout_{};
  base::UniqueFd region_;
  base::UniqueFd private_file_;
  base::Mapping memory_;
  std::vector<base::UniqueFd> kicks_;  // of the rings, then of the window's
  std::vector<base::UniqueFd> calls_;
  std::vector<int> lent_;
  uint64_t attached_ = 0;
  std::vector<std::unique_ptr<Guest>> guests_;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_VM_H_
