// SPDX-License-Identifier: Apache-2.0
// What the programs of table.h have in common: their options, and how the rows that are wanted are measured.
#ifndef VGPU_BENCH_PROGRAMS_MEASURE_H_
#define VGPU_BENCH_PROGRAMS_MEASURE_H_

#include <optional>
#include <string>
#include <vector>

#include "base/cli/program.h"
#include "bench/lib/results.h"
#include "bench/programs/table.h"

namespace vgpu::bench {

struct Flags {
  Effort effort;
  std::vector<std::string> only;  // names; empty: all
  std::string json;               // a file; empty: none
};

// --quick, --only with the names of `measurements`, and --json.
void AddFlags(CLI::App& app, const std::vector<Measurement>& measurements, Flags* flags);

// Binds this process to its processor and makes those of `measurements` that are wanted. One that fails, or
// cannot be made here, is a figure, too. Nothing: there is no processor to bind it to,
// which it has said on stderr.
std::optional<Results> Measure(const std::vector<Measurement>& measurements, const Flags& flags);

// Figures that show a fault fail a program that has no gates.
int StatusWithoutGates(const std::vector<Figure>& figures);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_PROGRAMS_MEASURE_H_
