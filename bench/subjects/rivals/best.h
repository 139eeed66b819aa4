// SPDX-License-Identifier: Apache-2.0
// Each rival at its best: the fastest of its variants takes part.
#ifndef VGPU_BENCH_SUBJECTS_RIVALS_BEST_H_
#define VGPU_BENCH_SUBJECTS_RIVALS_BEST_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {

inline constexpr Polling kPollings[] = {Polling::kEager, Polling::kRelaxed};

struct LeftOut {
  std::string note;
  std::string missing;  // why "all rivals" would not be true
};

// The fastest of these batches, both ways of polling; *tried says what each came to.
std::unique_ptr<Contestant> BestVariant(PairPlan plan, const std::vector<uint32_t>& batches, uint64_t count,
                                        std::unique_ptr<Contestant> (*make)(const PairPlan&),
                                        nlohmann::json* tried);

// Adds the best variant of every rival that can take part in `plan`, and returns what is to be said of the
// others (nothing if there are none). The kernel's own are so slow that a few requests say it: eager, and the
// largest batch.
LeftOut AddRivals(PairPlan plan, const std::vector<uint32_t>& batches, uint64_t count, Contestants* all,
                  nlohmann::json* tried);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_RIVALS_BEST_H_
