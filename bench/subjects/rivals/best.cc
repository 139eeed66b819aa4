// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/rivals/best.h"

#include <fmt/format.h>

namespace vgpu::bench {

std::unique_ptr<Contestant> BestVariant(PairPlan plan, const std::vector<uint32_t>& batches, uint64_t count,
                                        std::unique_ptr<Contestant> (*make)(const PairPlan&),
                                        nlohmann::json* tried) {
  std::vector<Maker> variants;
  for (const uint32_t batch : batches) {
    plan.batch = batch;
    for (const Polling polling : kPollings) {
      plan.polling = polling;
      variants.emplace_back([make, plan] { return make(plan); });
    }
  }
  return Fastest(variants, count, tried);
}

LeftOut AddRivals(PairPlan plan, const std::vector<uint32_t>& batches, uint64_t count, Contestants* all,
                  nlohmann::json* tried) {
  LeftOut left_out;
  for (const Rival& rival : kRivals) {
    if (const Absence absence = rival.absent(plan); !absence.why.empty()) {
      left_out.note += fmt::format("; left out: {}", absence.why);
      if (absence.here) left_out.missing = absence.why;
    } else if (rival.kernel) {
      plan.batch = batches.back();
      plan.polling = Polling::kEager;
      all->push_back(rival.make(plan));
    } else {
      all->push_back(BestVariant(plan, batches, count, rival.make, tried));
    }
  }
  return left_out;
}

}  // namespace vgpu::bench
