// SPDX-License-Identifier: Apache-2.0
#include "bench/programs/measure.h"

#include <algorithm>
#include <cstdlib>

#include "base/cli/options.h"
#include "bench/lib/figure.h"
#include "bench/lib/program.h"
#include "bench/vm/vm_process.h"

namespace vgpu::bench {
namespace {

std::vector<Measurement> WantedOf(const std::vector<Measurement>& measurements,
                                  const std::vector<std::string>& only) {
  std::vector<Measurement> wanted;
  for (const Measurement& measurement : measurements) {
    const bool named = std::find(only.begin(), only.end(), measurement.name) != only.end();
    if (only.empty() || named) wanted.push_back(measurement);
  }
  return wanted;
}

}  // namespace

void AddFlags(CLI::App& app, const std::vector<Measurement>& measurements, Flags* flags) {
  std::vector<std::string> names;
  for (const Measurement& measurement : measurements) names.push_back(measurement.name);
  cli::AddFlag(app, "--quick", &flags->effort.quick, "few and short rounds: to see that everything works");
  cli::AddWords(app, "--only", &flags->only, "only these measurements", names);
  cli::AddText(app, "--json", &flags->json, "also write everything to this file", "FILE");
}

std::optional<Results> Measure(const std::vector<Measurement>& measurements, const Flags& flags) {
  const std::vector<Measurement> wanted = WantedOf(measurements, flags.only);
  const bool vm_wanted = std::any_of(wanted.begin(), wanted.end(), [](const Measurement& measurement) {
    return measurement.need == Need::kVm;
  });
  // First, and on all processors: it may build QEMU.
  const auto no_vm = vm_wanted ? NoVmBecause() : std::nullopt;
  const auto priority = TakeClientCpu();
  if (priority == nullptr) return std::nullopt;
  Results results;
  for (const Measurement& measurement : wanted) {
    if (measurement.need == Need::kVm && no_vm) {
      results.figures.push_back(Skipped(measurement.name, *no_vm));
      continue;
    }
    const auto measured =
        Measured(measurement.name.c_str(), [&] { return measurement.measure(flags.effort, &results); });
    if (!measured) results.figures.push_back(Failed(measurement.name, measured.error()));
  }
  return results;
}

int StatusWithoutGates(const std::vector<Figure>& figures) {
  const auto broken = [](const Figure& figure) { return !figure.broken.empty(); };
  return std::none_of(figures.begin(), figures.end(), broken) ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace vgpu::bench
