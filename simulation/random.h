// SPDX-License-Identifier: Apache-2.0
// All chance of a simulation comes from one seed (splitmix64).
#ifndef VGPU_SIMULATION_RANDOM_H_
#define VGPU_SIMULATION_RANDOM_H_

#include <cstdint>

namespace vgpu::simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  // Of [0, n); n is not 0.
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(Next() % n); }
  bool OneIn(uint32_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_RANDOM_H_
