// SPDX-License-Identifier: Apache-2.0
// What the guests' programs of the benchmarks share: options, and one line of JSON.
#ifndef VGPU_BENCH_LIB_GUEST_PROGRAM_H_
#define VGPU_BENCH_LIB_GUEST_PROGRAM_H_

#include <functional>
#include <nlohmann/json.hpp>

#include "base/cli/program.h"
#include "bench/lib/vector_way.h"

namespace vgpu::bench {

// Those that OptionsOf writes.
void AddRunOptions(CLI::App& app, VectorRun* run);

// Prints the result and `more`; returns the program's status.
int Print(const RunResult& result, const nlohmann::json& more = nlohmann::json::object());

// The status of a program that is `run`: what it throws is printed as {"error": ...}.
int RunInGuest(const std::function<int()>& run);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_GUEST_PROGRAM_H_
