// SPDX-License-Identifier: Apache-2.0
// Runs a relacy suite under one mutation and says what the search found.
#ifndef VGPU_TESTS_MODEL_EXPLORE_H_
#define VGPU_TESTS_MODEL_EXPLORE_H_

#include <cstdint>
#include <sstream>
#include <string>

#include "tests/model/model_memory.h"

namespace vgpu::model {

// How to search. A search has no randomness of its own: the n-th iteration of a random one has the seed n.
struct Search {
  rl::scheduler_type_e type;
  unsigned preemptions;  // of a bounded search: at most so many, at every place
  uint64_t iterations;   // of a random search
};
constexpr Search kEverything = {rl::sched_full, 0, 0};
constexpr Search Preemptions(unsigned n) { return {rl::sched_bound, n, 0}; }
constexpr Search RandomSeeds(uint64_t n) { return {rl::sched_random, 0, n}; }

struct Finding {
  rl::test_result_e result;
  uint64_t iterations;
  std::string history;  // the failing interleaving, step by step
};

template <class Suite>
Finding Explore(Search search, const Mutation& mutation) {
  std::ostringstream history;
  std::ostringstream progress;
  rl::test_params params;
  params.search_type = search.type;
  params.context_bound = search.preemptions;
  params.iteration_count = search.iterations;
  params.output_stream = &history;
  params.progress_stream = &progress;
  g_mutation = mutation;
  rl::simulate<Suite>(params);
  g_mutation = kWhole;
  return {params.test_result, params.stop_iteration, history.str()};
}

}  // namespace vgpu::model

#endif  // VGPU_TESTS_MODEL_EXPLORE_H_
