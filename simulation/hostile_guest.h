// SPDX-License-Identifier: Apache-2.0
// A guest that keeps no rule: it writes garbage to the words of its ring, uses slots again before their
// answers, asks for epochs as it likes, kicks without end, and fills the counter that it is to be called by.
#ifndef VGPU_SIMULATION_HOSTILE_GUEST_H_
#define VGPU_SIMULATION_HOSTILE_GUEST_H_

#include <cstdint>

#include "simulation/guest.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class HostileGuest final : public Guest {
 public:
  // `around` outlives this.
  HostileGuest(const GuestPlace& place, Surroundings* around) : place_(place), around_(around) {}

  bool Act() override;
  int64_t next_ns() const override { return Rests() ? kNever : next_ns_; }
  void Drop() override { halted_ = false; }
  void Halt() override { halted_ = true; }

 private:
  using Memory = ring::RealMemory;

  bool Rests() const { return halted_ || around_->draining; }
  void AskEpoch();
  void Submit(uint32_t count);
  void Scribble();
  void Kick();
  uint64_t Garbage();

  const GuestPlace place_;
  Surroundings* const around_;
  bool halted_ = false;
  int64_t next_ns_ = 0;
  uint32_t epoch_ = 0;
  uint32_t prod_ = 0;  // whatever was answered
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_HOSTILE_GUEST_H_
