// SPDX-License-Identifier: Apache-2.0
// nfs_client_side: the old system's guest program. Prints one line of JSON.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "base/histogram_json.h"
#include "bench/nfs/client_side.h"
#include "bench/nfs/mount.h"

namespace {

using vgpu::bench::nfs::ClientPlan;
using vgpu::bench::nfs::ClientResult;
using vgpu::bench::nfs::MountOf;

std::string Mounts() {
  std::ifstream file("/proc/self/mounts");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int Run(int argc, char** argv) {
  ClientPlan plan;
  double poll_ms = 100;
  double pause_max_ms = 0;
  CLI::App app("The guest's program of the old NFS system", "nfs_client_side");
  app.add_option("folder", plan.folder, "<mount>/vm<id>")->required();
  app.add_option("--count", plan.count, "requests")->capture_default_str();
  app.add_option("--warm-up", plan.warm_up, "requests before those")->capture_default_str();
  app.add_option("--poll-ms", poll_ms, "between two looks for the answer; 0: none")->capture_default_str();
  app.add_flag("--direct", plan.direct, "files stay open, direct I/O: not what the old program did");
  app.add_option("--pause-max-ms", pause_max_ms, "longest pause before a request, at random")->capture_default_str();
  app.add_option("--seed", plan.seed, "of operands and pauses")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  plan.poll_every = std::chrono::microseconds(static_cast<int64_t>(poll_ms * 1e3));
  plan.pause_max = std::chrono::microseconds(static_cast<int64_t>(pause_max_ms * 1e3));
  // Before Ask, which changes the working directory.
  const std::string folder = std::filesystem::absolute(plan.folder).lexically_normal();
  const ClientResult result = Ask(plan);
  const auto& latency = result.latency_ns;
  const nlohmann::json json = {{"count", latency.count()},
                               {"wrong", result.wrong},
                               {"mount", MountOf(folder, Mounts())},
                               {"latency",
                                {{"samples", latency.count()},
                                 {"p50_ns", latency.Percentile(50)},
                                 {"p99_ns", latency.Percentile(99)},
                                 {"p99_9_ns", latency.Percentile(99.9)},
                                 {"max_ns", latency.max()},
                                 {"buckets", vgpu::base::BucketsJson(latency)}}}};
  fmt::print("{}\n", json.dump());
  return result.wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print("{}\n", nlohmann::json({{"error", error.what()}}).dump());
    return EXIT_FAILURE;
  }
}
