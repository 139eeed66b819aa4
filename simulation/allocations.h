// SPDX-License-Identifier: Apache-2.0
// Counts what the daemon allocates while it serves rings: nothing.
// Whoever links this gets another operator new.
#ifndef VGPU_SIMULATION_ALLOCATIONS_H_
#define VGPU_SIMULATION_ALLOCATIONS_H_

#include <cstdint>

namespace vgpu::simulation {

// Whose allocations are these, until the end of the scope?
class Allocations {
 public:
  enum class Whose : uint8_t { kOthers, kDaemons };

  explicit Allocations(Whose whose);
  ~Allocations();
  Allocations(const Allocations&) = delete;
  Allocations& operator=(const Allocations&) = delete;

  // How many were the daemon's since the last time.
  static uint64_t TakeDaemons();

 private:
  const Whose before_;
};

// The daemon has called, or is about to be called.
class Outside : private Allocations {
 public:
  Outside() : Allocations(Whose::kOthers) {}
};
class Inside : private Allocations {
 public:
  Inside() : Allocations(Whose::kDaemons) {}
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_ALLOCATIONS_H_
