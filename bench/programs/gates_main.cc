// SPDX-License-Identifier: Apache-2.0
// //bench:gates: everything that carries a gate, in one table. Exit status 0 only if all gates hold.
#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "base/cli/output.h"
#include "base/cli/program.h"
#include "bench/lib/figure.h"
#include "bench/lib/program.h"
#include "bench/programs/measure.h"
#include "bench/programs/table.h"

namespace vgpu::bench {
namespace {

int Run(const std::vector<Measurement>& measurements, const Flags& flags) {
  const auto results = Measure(measurements, flags);
  if (!results) return EXIT_FAILURE;
  fmt::print("{}\n{}", MachineText(), Table(results->figures));
  if (!flags.json.empty() && !WriteJson(flags.json, results->figures)) return EXIT_FAILURE;
  return AllHold(results->figures) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ParseAndRun(int argc, char** argv) {
  const std::vector<Measurement> measurements = MeasurementsWithGates();
  Flags flags;
  cli::Program program("gates", "Measures every figure that has a gate and prints one table.");
  AddFlags(program.app(), measurements, &flags);
  if (const auto status = program.Parse(argc, argv)) return *status;
  return cli::FinishOutput("gates", Run(measurements, flags));
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::ParseAndRun(argc, argv); });
}
