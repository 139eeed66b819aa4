// SPDX-License-Identifier: Apache-2.0
// //bench:latency: this transport beside those that it replaces, in one table.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cli/options.h"
#include "base/cli/output.h"
#include "base/cli/program.h"
#include "bench/latency/latency.h"
#include "bench/program.h"
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

using Measure = Result<void> (*)(const Effort&, LatencyResults*);

void Add(const char* part, Measure measure, const Effort& effort, LatencyResults* results) {
  const auto measured = Measured(part, [&] { return measure(effort, results); });
  if (!measured) results->figures.push_back(Failed(part, measured.error()));
}

int Run(const Flags& flags) {
  LatencyResults results;
  constexpr std::pair<const char*, Measure> kInVms[] = {
      {"vm", MeasureInVm}, {"vectors", MeasureVectors}, {"seven", MeasureSevenAtOnce}};
  const bool vm_wanted = std::any_of(std::begin(kInVms), std::end(kInVms), [&](auto& part) { return flags.Wants(part.first); });
  const auto no_vm = vm_wanted ? NoVmBecause() : std::nullopt;  // first and on all processors: it may build QEMU
  const auto priority = TakeClientCpu();
  if (priority == nullptr) return EXIT_FAILURE;
  for (const auto& [part, measure] : kInVms) {
    if (!flags.Wants(part)) continue;
    if (no_vm) {
      results.figures.push_back(Skipped(part, *no_vm));
    } else {
      Add(part, measure, flags.effort, &results);
    }
  }
  if (flags.Wants("host")) Add("host", MeasureSockets, flags.effort, &results);
  if (flags.Wants("think")) Add("think", MeasureThinking, flags.effort, &results);
  if (flags.Wants("open")) Add("open", MeasureOpenLoop, flags.effort, &results);
  fmt::print("{}\n", MachineText());
  for (const RowGroup& group : results.groups) fmt::print("\n{}", Table(group));
  fmt::print("\n{}", Table(results.figures));
  if (!flags.json.empty() && !WriteJson(flags.json, results.figures, results.groups)) return EXIT_FAILURE;
  const auto broken = [](const Figure& figure) { return !figure.broken.empty(); };
  return std::none_of(results.figures.begin(), results.figures.end(), broken) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ParseAndRun(int argc, char** argv) {
  Flags flags;
  cli::Program program("latency", "This transport beside those that it replaces.");
  cli::AddFlag(program.app(), "--quick", &flags.effort.quick, "few and short rounds: to see that everything works");
  cli::AddWords(program.app(), "--only", &flags.only, "only these parts",
                {"vm", "vectors", "seven", "host", "think", "open"});
  cli::AddText(program.app(), "--json", &flags.json, "also write everything to this file", "FILE");
  if (const auto status = program.Parse(argc, argv)) return *status;
  return cli::FinishOutput("latency", Run(flags));
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::ParseAndRun(argc, argv); });
}
