// SPDX-License-Identifier: Apache-2.0
// //bench:latency: this transport beside those that it replaces, in one table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "bench/latency/latency.h"
#include "bench/process.h"
#include "bench/vm_process.h"

namespace vgpu::bench {
namespace {

struct Flags {
  Effort effort;
  std::vector<std::string> only;
  std::string json;

  bool Wants(const std::string& part) const {
    return only.empty() || std::find(only.begin(), only.end(), part) != only.end();
  }
};

template <class Measure>
void Add(const char* part, LatencyResults* results, Measure measure) {
  fmt::print(stderr, "== {}\n", part);
  Result<void> measured;
  try {
    measured = measure();
  } catch (const std::exception& error) {
    measured = tl::make_unexpected(std::string(error.what()));
  }
  if (!measured) results->figures.push_back(Failed(part, measured.error()));
}

nlohmann::json ToJson(const LatencyResults& results) {
  nlohmann::json groups = nlohmann::json::array();
  nlohmann::json figures = nlohmann::json::array();
  for (const RowGroup& group : results.groups) groups.push_back(bench::ToJson(group));
  for (const Figure& figure : results.figures) figures.push_back(bench::ToJson(figure));
  return {{"machine", MachineJson()}, {"groups", groups}, {"figures", figures}};
}

int Run(const Flags& flags) {
  LatencyResults results;
  const bool vm_wanted = flags.Wants("vm");
  const auto no_vm = vm_wanted ? NoVmBecause() : std::nullopt;  // first and on all processors: it may build QEMU
  if (const auto pinned = PinTo(kClientCpu); !pinned) {
    fmt::print(stderr, "{}\n", pinned.error());
    return EXIT_FAILURE;
  }
  const HighPriority priority;
  if (!priority.granted()) fmt::print(stderr, "note: not permitted to raise the priority; expect more noise\n");
  if (no_vm) {
    results.figures.push_back(Skipped("vm", *no_vm));
  } else if (vm_wanted) {
    Add("vm", &results, [&] { return MeasureInVm(flags.effort, &results); });
  }
  if (flags.Wants("host")) Add("host", &results, [&] { return MeasureSockets(flags.effort, &results); });
  fmt::print("{}\n", MachineText());
  for (const RowGroup& group : results.groups) fmt::print("\n{}", Table(group));
  fmt::print("\n{}", Table(results.figures));
  if (!flags.json.empty() && !WriteJsonFile(flags.json, ToJson(results))) return EXIT_FAILURE;
  const auto broken = [](const Figure& figure) { return !figure.broken.empty(); };
  return std::none_of(results.figures.begin(), results.figures.end(), broken) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ParseAndRun(int argc, char** argv) {
  Flags flags;
  CLI::App app("This transport beside those that it replaces", "latency");
  app.add_flag("--quick", flags.effort.quick, "few and short rounds: to see that everything works");
  app.add_option("--only", flags.only, "only these parts")->check(CLI::IsMember({"vm", "host"}));
  app.add_option("--json", flags.json, "also write everything to this file");
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  try {
    return vgpu::bench::ParseAndRun(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
}
