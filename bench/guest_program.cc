// SPDX-License-Identifier: Apache-2.0
#include "bench/guest_program.h"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>

namespace vgpu::bench {

void AddRunOptions(CLI::App& app, VectorRun* run) {
  app.add_option("--count", run->count, "requests")->capture_default_str();
  app.add_option("--warm-up", run->warm_up, "requests before those")->capture_default_str();
  app.add_option("--seconds", run->seconds_max, "stop after so long, even with fewer requests");
  app.add_option("--seed", run->seed, "of operands and pauses")->capture_default_str();
  app.add_option("--elements", run->elements, "of a vector (default: two numbers)")->check(CLI::PositiveNumber);
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
