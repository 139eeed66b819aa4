// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/guest_program.h"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>

#include "base/cli/options.h"

namespace vgpu::bench {

void AddRunOptions(CLI::App& app, VectorRun* run) {
  cli::AddInteger(app, "--count", &run->count, "requests");
  cli::AddInteger(app, "--warm-up", &run->warm_up, "requests before those");
  cli::AddSeconds(app, "--seconds", &run->seconds_max, "stop after so long, even with fewer requests");
  cli::AddInteger(app, "--seed", &run->seed, "of operands and pauses");
  cli::AddInteger(app, "--elements", &run->elements, "of a vector (default: two numbers)", 1);
}

int Print(const RunResult& result, const nlohmann::json& more) {
  nlohmann::json json = ToJson(result);
  json.update(more);
  fmt::print("{}\n", json.dump());
  return result.wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int RunInGuest(const std::function<int()>& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    fmt::print("{}\n", nlohmann::json({{"error", error.what()}}).dump());
    return EXIT_FAILURE;
  }
}

}  // namespace vgpu::bench
