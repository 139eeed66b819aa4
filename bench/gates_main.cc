// SPDX-License-Identifier: Apache-2.0
// //bench:gates: everything that carries a gate, in one table. Exit status 0 only if all gates hold.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "base/cli/options.h"
#include "base/cli/output.h"
#include "base/cli/program.h"
#include "bench/figure.h"
#include "bench/gates/gates.h"
#include "bench/latency/latency.h"
#include "bench/program.h"
#include "bench/ring_figures.h"
#include "bench/vm_process.h"

namespace vgpu::bench {
namespace {

struct Flags {
  Effort effort;
  std::vector<std::string> only;
  std::string json;
};

Result<void> MeasureRing(Result<void> (*measure)(const Effort&, RingResults*), const Effort& effort, Figures* figures) {
  RingResults results;
  const auto measured = measure(effort, &results);
  figures->insert(figures->end(), results.figures.begin(), results.figures.end());
  return measured;
}
Result<void> Depth1(const Effort& effort, Figures* figures) { return MeasureRing(MeasureDepth1, effort, figures); }
Result<void> Depth64(const Effort& effort, Figures* figures) { return MeasureRing(MeasureDepth64, effort, figures); }
Result<void> Depths(const Effort& effort, Figures* figures) { return MeasureRing(MeasureDepths, effort, figures); }
Result<void> Arena(const Effort& effort, Figures* figures) { return MeasureRing(MeasureArena, effort, figures); }
Result<void> Doorbell(const Effort& effort, Figures* figures) { return MeasureRing(MeasureDoorbell, effort, figures); }

Result<void> MeasureLatency(Result<void> (*measure)(const Effort&, LatencyResults*), const Effort& effort,
                            Figures* figures) {
  LatencyResults results;
  const auto measured = measure(effort, &results);
  figures->insert(figures->end(), results.figures.begin(), results.figures.end());
  return measured;
}
Result<void> Nfs(const Effort& effort, Figures* figures) { return MeasureLatency(MeasureInVm, effort, figures); }
Result<void> Socket(const Effort& effort, Figures* figures) { return MeasureLatency(MeasureSockets, effort, figures); }
Result<void> Think(const Effort& effort, Figures* figures) { return MeasureLatency(MeasureThinking, effort, figures); }

// A measurement, and its gates for the case that it cannot be made.
struct Measurement {
  const char* name;
  bool needs_vm;
  Result<void> (*measure)(const Effort&, Figures*);
};
constexpr Measurement kAll[] = {
    {"depth-1", false, Depth1},          {"depth-64", false, Depth64},
    {"depths", false, Depths},           {"doorbell", false, Doorbell},
    {"arena", false, Arena},             {"vm-ring", true, MeasureVmRing},
    {"vm-window", true, MeasureVmWindow}, {"saturated", false, MeasureSaturated},
    {"cpu-1000", false, MeasureCpuAt1000}, {"idle", false, MeasureIdle},
    {"steady-state", false, MeasureSteadyState}, {"seven-vms", true, MeasureSevenVms},
    {"nfs", true, Nfs},                  {"socket", false, Socket},
    {"think", false, Think},
    {"gpu", false, MeasureGpu},
};

// Adds the figures of one measurement; one that fails or is skipped is a line of the table, too.
void Add(const Measurement& measurement, const Effort& effort, const std::optional<std::string>& no_vm,
         Figures* figures) {
  if (measurement.needs_vm && no_vm) {
    figures->push_back(Skipped(measurement.name, *no_vm));
    return;
  }
  const auto measured = Measured(measurement.name, [&] { return measurement.measure(effort, figures); });
  if (!measured) figures->push_back(Failed(measurement.name, measured.error()));
}

int Run(const Flags& flags) {
  const auto wanted = [&](const Measurement& measurement) {
    return flags.only.empty() || std::find(flags.only.begin(), flags.only.end(), measurement.name) != flags.only.end();
  };
  std::optional<std::string> no_vm;  // found out first, and on all processors: it may build QEMU
  for (const Measurement& measurement : kAll) {
    if (wanted(measurement) && measurement.needs_vm) {
      no_vm = NoVmBecause();
      break;
    }
  }
  const auto priority = TakeClientCpu();
  if (priority == nullptr) return EXIT_FAILURE;
  Figures figures;
  for (const Measurement& measurement : kAll) {
    if (wanted(measurement)) Add(measurement, flags.effort, no_vm, &figures);
  }
  fmt::print("{}\n{}", MachineText(), Table(figures));
  if (!flags.json.empty() && !WriteJson(flags.json, figures)) return EXIT_FAILURE;
  return AllHold(figures) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ParseAndRun(int argc, char** argv) {
  std::vector<std::string> names;
  for (const Measurement& measurement : kAll) names.push_back(measurement.name);
  Flags flags;
  cli::Program program("gates", "Measures every figure that has a gate and prints one table.");
  cli::AddFlag(program.app(), "--quick", &flags.effort.quick, "few and short rounds: to see that everything works");
  cli::AddWords(program.app(), "--only", &flags.only, "only these measurements", names);
  cli::AddText(program.app(), "--json", &flags.json, "also write everything to this file", "FILE");
  if (const auto status = program.Parse(argc, argv)) return *status;
  return cli::FinishOutput("gates", Run(flags));
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::ParseAndRun(argc, argv); });
}
