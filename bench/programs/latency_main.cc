// SPDX-License-Identifier: Apache-2.0
// //bench:latency: this transport beside those that it replaces, in one table.
#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "base/cli/output.h"
#include "base/cli/program.h"
#include "bench/lib/figure.h"
#include "bench/lib/program.h"
#include "bench/lib/rows.h"
#include "bench/programs/measure.h"
#include "bench/programs/table.h"

namespace vgpu::bench {
namespace {

int Run(const std::vector<Measurement>& measurements, const Flags& flags) {
  const auto results = Measure(measurements, flags);
  if (!results) return EXIT_FAILURE;
  fmt::print("{}\n", MachineText());
  for (const RowGroup& group : results->groups) fmt::print("\n{}", Table(group));
  fmt::print("\n{}", Table(results->figures));
  if (!flags.json.empty() && !WriteJson(flags.json, results->figures, results->groups)) return EXIT_FAILURE;
  return StatusWithoutGates(results->figures);
}

int ParseAndRun(int argc, char** argv) {
  const std::vector<Measurement> measurements = MeasurementsOf(Group::kLatency);
  Flags flags;
  cli::Program program("latency", "This transport beside those that it replaces.");
  AddFlags(program.app(), measurements, &flags);
  if (const auto status = program.Parse(argc, argv)) return *status;
  return cli::FinishOutput("latency", Run(measurements, flags));
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::ParseAndRun(argc, argv); });
}
