// SPDX-License-Identifier: Apache-2.0
// Runs a relacy suite under one mutation and says what the search found.
#ifndef VGPU_TESTS_MODEL_EXPLORE_H_
#define VGPU_TESTS_MODEL_EXPLORE_H_

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>

#include "tests/model/model_memory.h"

namespace vgpu::model {

// How to search. No search has a randomness of its own: the n-th execution of a random one has the seed n.
struct Everything {
  template <rl::thread_id_t kThreads>
  using Scheduler = rl::full_search_scheduler<kThreads>;
  void Fill(rl::test_params* params) const { params->search_type = rl::sched_full; }
};
// Every execution with at most so many preemptions, wherever they fall. Blocking is not a preemption.
struct Preemptions {
  unsigned count;
  template <rl::thread_id_t kThreads>
  using Scheduler = rl::context_bound_scheduler<kThreads>;
  void Fill(rl::test_params* params) const {
    params->search_type = rl::sched_bound;
    params->context_bound = count;
  }
};
struct RandomSeeds {
  uint64_t count;
  template <rl::thread_id_t kThreads>
  using Scheduler = rl::random_scheduler<kThreads>;
  void Fill(rl::test_params* params) const {
    params->search_type = rl::sched_random;
    params->iteration_count = count;
  }
};

struct Finding {
  rl::test_result_e result;
  std::string history;  // the failing execution, step by step
};

// rl::simulate, less the two schedulers that are not asked for: they treble the time to compile.
template <class Suite, class Search>
Finding Explore(Search search, const Mutation& mutation) {
  using Scheduler = typename Search::template Scheduler<Suite::params::thread_count>;
  std::ostringstream history;
  std::ostringstream progress;
  rl::test_params params;
  search.Fill(&params);
  params.output_stream = &history;
  params.progress_stream = &progress;
  g_mutation = mutation;
  rl::ostringstream failed;
  const rl::test_result_e result = rl::run_test<Suite, Scheduler>(params, failed, /*second=*/false);
  std::printf("%s: %s after %llu executions\n", mutation.name, rl::test_result_str(result),
              static_cast<unsigned long long>(params.stop_iteration));
  if (result != rl::test_result_success) {
    params.initial_state = failed.str();
    params.collect_history = true;
    rl::run_test<Suite, Scheduler>(params, failed, /*second=*/true);
  }
  g_mutation = kWhole;
  return {result, history.str()};
}

}  // namespace vgpu::model

#endif  // VGPU_TESTS_MODEL_EXPLORE_H_
