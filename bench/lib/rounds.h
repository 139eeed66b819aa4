// SPDX-License-Identifier: Apache-2.0
// The order in which those who are compared have their turns: many short rounds, in each of which everyone
// has one turn. Who begins changes from round to round, so that nobody always follows the same one.
#ifndef VGPU_BENCH_LIB_ROUNDS_H_
#define VGPU_BENCH_LIB_ROUNDS_H_

#include <cstddef>
#include <cstdint>

#include "bench/lib/process.h"

namespace vgpu::bench {

// Calls before(round), and then turn(round, who) for each of `parties`, in each of `rounds`; both return
// Result<void>. The first error ends it and is returned.
template <class Before, class Turn>
Result<void> PlayRounds(uint64_t rounds, size_t parties, Before before, Turn turn) {
  for (uint64_t round = 0; round < rounds; ++round) {
    if (auto ready = before(round); !ready) return ready;
    for (size_t i = 0; i < parties; ++i) {
      if (auto taken = turn(round, (round + i) % parties); !taken) return taken;
    }
  }
  return {};
}

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_ROUNDS_H_
