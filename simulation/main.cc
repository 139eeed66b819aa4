// SPDX-License-Identifier: Apache-2.0
// Runs one simulation: simulate [--seed N] [--steps N] [--mutant NAME] [--print]. What it prints names the
// seed, and a number for all that happened: the same seed, steps and build bring the same number.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/mutant.h"
#include "simulation/world.h"

namespace {

struct Flags {
  uint64_t seed = 1;
  uint64_t steps = 1'000'000;
  const char* mutant = nullptr;
  bool print = false;
};

bool Parse(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--print") {
      flags->print = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const char* value = argv[++i];
    if (name == "--seed") {
      flags->seed = std::strtoull(value, nullptr, 10);
    } else if (name == "--steps") {
      flags->steps = std::strtoull(value, nullptr, 10);
    } else if (name == "--mutant") {
      flags->mutant = value;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  if (!Parse(argc, argv, &flags)) {
    std::fprintf(stderr, "usage: simulate [--seed N] [--steps N] [--mutant NAME] [--print]\n");
    return 2;
  }
  if (flags.mutant != nullptr && !vgpu::base::SetMutant(flags.mutant)) {
    std::fprintf(stderr, "this build has the product's own objects, and no mutants: use simulate_faults\n");
    return 2;
  }
  const auto outcome = vgpu::simulation::Simulate(flags.seed, flags.steps, flags.print);
  std::printf("seed %llu: %llu steps, %llu lives, %llu answers, hash %016llx: %s\n",
              static_cast<unsigned long long>(flags.seed), static_cast<unsigned long long>(outcome.steps),
              static_cast<unsigned long long>(outcome.lives),
              static_cast<unsigned long long>(outcome.answers), static_cast<unsigned long long>(outcome.hash),
              outcome.violation.empty() ? "all promises kept" : outcome.violation.c_str());
  return outcome.violation.empty() ? 0 : 1;
}
