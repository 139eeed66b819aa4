// SPDX-License-Identifier: Apache-2.0
// Each of twelve faults of the daemon is found by a fixed seed: a check of the simulation says so, or an
// assertion of the daemon stops it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <ostream>
#include <string>

#include "base/mutant.h"
#include "simulation/world.h"

namespace vgpu::simulation {
namespace {

constexpr uint64_t kSteps = 1'000'000;
constexpr rlim_t kProcessorS = 60;  // whoever needs more has not found it

struct Mutant {
  const char* name;
  uint64_t seed;
};

std::ostream& operator<<(std::ostream& out, const Mutant& mutant) { return out << mutant.name; }

class MutantsTest : public testing::TestWithParam<Mutant> {};

[[noreturn]] void Live(const Mutant& mutant) {
  const rlimit limit{kProcessorS, kProcessorS};
  if (setrlimit(RLIMIT_CPU, &limit) != 0 || !base::SetMutant(mutant.name)) _exit(0);
  const Outcome outcome = Simulate(mutant.seed, kSteps);
  std::fprintf(stderr, "step %llu: %s\n", static_cast<unsigned long long>(outcome.steps),
               outcome.violation.c_str());
  _exit(outcome.violation.empty() ? 0 : 1);
}

// By a check of the simulation, or by an assertion of the daemon.
bool Found(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) == 1 : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

TEST_P(MutantsTest, IsFound) { EXPECT_EXIT(Live(GetParam()), Found, ""); }

INSTANTIATE_TEST_SUITE_P(Twelve, MutantsTest,
                         testing::Values(Mutant{"answer_before_journal", 1},
                                         Mutant{"journal_before_epoch", 2}, Mutant{"dropped_call", 1},
                                         Mutant{"dropped_rearm", 1}, Mutant{"double_settle_after_restart", 1},
                                         Mutant{"reuse_before_reap", 2}, Mutant{"placement_freed_twice", 1},
                                         Mutant{"budget_not_reset", 1}, Mutant{"fence_forgotten_at_reset", 1},
                                         Mutant{"control_message_reordered", 1},
                                         Mutant{"lost_engine_answer", 1}, Mutant{"leaked_slot", 1}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace vgpu::simulation
