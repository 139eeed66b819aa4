// SPDX-License-Identifier: Apache-2.0
// //bench:gpu_native: what a program on this host gets from the GPU by itself, and from a resident kernel with nothing of
// ours around it. Every figure about our GPU path is a ratio to one of these, in the same run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "bench/figure.h"
#include "bench/gpu/native.h"

namespace vgpu::bench {
namespace {

struct Flags {
  int gpu = 0;
  bool quick = false;
  std::string json;

  uint32_t rounds() const { return quick ? 5 : 40; }
  uint64_t requests() const { return quick ? 500 : 4'000; }
};

double Median(const std::vector<double>& values) { return Quantile(values, 0.5); }

// One line a contestant; the ratio is to the first, round by round.
nlohmann::json Print(const std::string& title, const std::vector<Series>& all) {
  fmt::print("\n{:<44} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}  {}\n", title, "us each", "p50", "p99", "p99.9", "samples",
             "/ first", "quartiles");
  nlohmann::json json = nlohmann::json::array();
  for (const Series& series : all) {
    const base::Histogram& latency = series.latency_ns;
    const Spread ratio = SpreadOf(Ratios(series.ns_per_request, all[0].ns_per_request));
    const auto us = [&](double q) {
      return latency.count() == 0 ? "-" : fmt::format("{:.2f}", static_cast<double>(latency.Percentile(q)) / 1e3);
    };
    fmt::print("{:<44} {:>9.3f} {:>9} {:>9} {:>9} {:>9} {:>8.3f}  {:.3f} .. {:.3f}{}\n", series.name,
               Median(series.ns_per_request) / 1e3, us(50), us(99), us(99.9), latency.count(), ratio.median, ratio.q1,
               ratio.q3, series.wrong == 0 ? "" : fmt::format("  {} WRONG ANSWERS", series.wrong));
    json.push_back(ToJson(series));
  }
  std::fflush(stdout);
  return json;
}

Contestants OneByOne(Lab* lab) {
  Contestants all;
  all.push_back(MakeNativeLaunch(lab));
  all.push_back(MakeNativeGraph(lab));
  all.push_back(MakeNativeCopies(lab));
  all.push_back(MakeBareResident(lab, 1));
  return all;
}

int Run(const Flags& flags) {
  const auto opened = Lab::Open(flags.gpu);
  if (!opened) {
    fmt::print("SKIPPED: {}\n", opened.error());
    return EXIT_SUCCESS;
  }
  Lab* lab = opened->get();
  int version = 0;
  lab->Must(lab->driver.DriverGetVersion(&version), "the driver's version");
  fmt::print("{}, {:.0f} GiB, driver for CUDA {}.{}\n{}\n", lab->device->name(),
             static_cast<double>(lab->device->memory_bytes()) / (1 << 30), version / 1000, version % 1000 / 10,
             MachineText());
  nlohmann::json json = {{"machine", MachineJson()}, {"gpu", lab->device->name()}, {"cuda", version}};
  json["alone"] = Print("one add at a time, the GPU idle", RunContest(OneByOne(lab), flags.rounds(), flags.requests()));
  {
    const Flood flood(lab);
    json["flood"] = Print("one add at a time, beside a flood",
                          RunContest(OneByOne(lab), flags.rounds() / 4 + 1, flags.requests() / 8));
  }
  Contestants deep;
  deep.push_back(MakeNativeAsyncLaunches(lab));
  for (const uint32_t depth : {8u, 64u, 256u}) deep.push_back(MakeBareResident(lab, depth));
  json["deep"] = Print("many adds at a time", RunContest(deep, flags.rounds(), flags.requests() * 8));

  fmt::print("\n{:<44} {:>9} {:>9} {:>16}\n", "pinned copies, GB/s", "in", "out", "two in, one out");
  for (const uint64_t kib : {64, 1024, 4096, 65536}) {
    const CopyRates rates = MeasureCopies(lab, kib << 10, flags.quick ? 1 : 5);
    fmt::print("{:>10} KiB {:>39.1f} {:>9.1f} {:>16.1f}\n", kib, Median(rates.in), Median(rates.out),
               Median(rates.two_in_one_out));
    json["copies"].push_back({{"bytes", kib << 10},
                              {"in", rates.in},
                              {"out", rates.out},
                              {"two_in_one_out", rates.two_in_one_out}});
  }
  return flags.json.empty() || WriteJsonFile(flags.json, json) ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  vgpu::bench::Flags flags;
  CLI::App app("What a program on this host gets from the GPU by itself", "gpu_native");
  app.add_option("--gpu", flags.gpu, "which one, as nvidia-smi counts")->check(CLI::NonNegativeNumber);
  app.add_flag("--quick", flags.quick, "few and short rounds: to see that everything works");
  app.add_option("--json", flags.json, "also write everything to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    return vgpu::bench::Run(flags);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
}
