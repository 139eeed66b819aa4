// SPDX-License-Identifier: Apache-2.0
// //bench:ring: the ring between two processes of this host, against its rivals. Everything is measured in
// interleaved rounds first; Google Benchmark then lists each contestant (manual times: those of its rounds),
// and the table of ratios follows.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/working_folder.h"
#include "bench/lib/contest.h"
#include "bench/lib/figure.h"
#include "bench/lib/program.h"
#include "bench/lib/rows.h"
#include "bench/programs/measure.h"
#include "bench/programs/table.h"

namespace vgpu::bench {
namespace {

// Takes our own options out of argv; the rest is Google Benchmark's.
bool TakeFlags(int* argc, char** argv, Flags* flags) {
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--quick") {
      flags->effort.quick = true;
    } else if (argument == "--json") {
      if (++i == *argc) return false;
      flags->json = argv[i];
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  return true;
}

void List(const std::string& contest, const Series& series, uint64_t per_round) {
  benchmark::RegisterBenchmark(
      (contest + "/" + series.name).c_str(),
      [&series, per_round](benchmark::State& state) {
        size_t round = 0;
        for ([[maybe_unused]] auto _ : state) {
          state.SetIterationTime(series.ns_per_request[round++] * static_cast<double>(per_round) / 1e9);
        }
        state.SetItemsProcessed(static_cast<int64_t>(series.requests));
        state.counters["wrong"] = static_cast<double>(series.wrong);
        if (series.latency_ns.count() == 0) return;
        state.counters["p50_ns"] = static_cast<double>(series.latency_ns.Percentile(50));
        state.counters["p99_ns"] = static_cast<double>(series.latency_ns.Percentile(99));
        state.counters["p99.9_ns"] = static_cast<double>(series.latency_ns.Percentile(99.9));
        state.counters["samples"] = static_cast<double>(series.latency_ns.count());
      })
      ->UseManualTime()
      ->Iterations(static_cast<benchmark::IterationCount>(series.ns_per_request.size()));
}

int Run(const Flags& flags) {
  const auto results = Measure(MeasurementsOf(Group::kRing), flags);
  if (!results) return EXIT_FAILURE;
  for (const auto& [contest, series] : results->series) {
    List(contest, series, series.requests / series.ns_per_request.size());
  }
  benchmark::RunSpecifiedBenchmarks();
  fmt::print("\n{}\n", MachineText());
  for (const RowGroup& group : results->groups) fmt::print("\n{}", Table(group));
  fmt::print("\n{}", Table(results->figures));
  if (!flags.json.empty() && !WriteJson(flags.json, results->figures, results->groups)) return EXIT_FAILURE;
  return StatusWithoutGates(results->figures);
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  if (!vgpu::base::EnterUsersFolder()) return EXIT_FAILURE;
  vgpu::bench::Flags flags;
  if (!vgpu::bench::TakeFlags(&argc, argv, &flags)) {
    std::fprintf(stderr, "usage: ring [--quick] [--json FILE] [Google Benchmark's options]\n");
    return EXIT_FAILURE;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return EXIT_FAILURE;
  return vgpu::bench::StatusOf([&] { return vgpu::bench::Run(flags); });
}
