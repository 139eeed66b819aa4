// SPDX-License-Identifier: Apache-2.0
// //bench:gpu: what guests get from the GPU through the mediator, and what a program on the host gets from it
// by itself, in one run. Every figure is a ratio of both, round by round.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/cli/options.h"
#include "base/cli/output.h"
#include "base/cli/program.h"
#include "bench/figures/gpu/setup.h"
#include "bench/lib/program.h"
#include "bench/subjects/native/neighbour.h"

namespace vgpu::bench {
namespace {

struct Flags {
  std::string backend = "cuda";
  std::optional<unsigned> gpu;
  bool quick = false;
  std::vector<std::string> only;
  std::string json;
};

struct Measurement {
  const char* name;
  Result<void> (*measure)(Setup*);
};
// The first one without any CUDA context in this process; the VM last, since it has the longest start.
constexpr Measurement kAll[] = {
    {"idle", MeasureIdlePower},    {"rtt", MeasureRtt},       {"native-flood", MeasureNativeFlood},
    {"flood", MeasureBesideFlood}, {"rates", MeasureRates},   {"copies", MeasureCopyRates},
    {"crossing", MeasureCrossing}, {"others", MeasureOthers}, {"hung", MeasureHung},
    {"vm", MeasureVmRtt},
};

Result<void> OpenLab(Setup* setup) {
  if (!setup->cuda() || setup->lab != nullptr) return {};
  auto lab = Lab::Open(0);
  if (!lab) return tl::make_unexpected(lab.error());
  setup->lab = std::move(*lab);
  return {};
}

// Says which GPU it is, or why there is none.
Result<void> Introduce(Setup* setup) {
  setup->json = {{"machine", MachineJson()}, {"backend", setup->backend}};
  if (const auto opened = OpenLab(setup); !opened) return opened;
  if (setup->lab == nullptr) {
    fmt::print("a rehearsal: CPU backend, no GPU\n{}\n", MachineText());
    return {};
  }
  const Lab& lab = *setup->lab;
  int version = 0;
  lab.Must(lab.driver.DriverGetVersion(&version), "the driver's version");
  fmt::print("{}, {:.0f} GiB, driver for CUDA {}.{}\n{}\n", lab.device->name(),
             static_cast<double>(lab.device->memory_bytes()) / (1 << 30), version / 1000, version % 1000 / 10,
             MachineText());
  setup->json["gpu"] = lab.device->name();
  setup->json["cuda"] = version;
  std::string driver;
  std::ifstream("/sys/module/nvidia/version") >> driver;
  setup->json["driver"] = driver;
  return {};
}

void Measure(Setup* setup, const Measurement& measurement) {
  const auto measured = Measured(
      measurement.name, [&] { return OpenLab(setup).and_then([&] { return measurement.measure(setup); }); });
  if (!measured) setup->figures.push_back(Failed(measurement.name, measured.error()));
}

// After each measurement: a run that is cut off leaves what it has.
bool Save(const Flags& flags, Setup* setup) {
  nlohmann::json figures = nlohmann::json::array();
  for (const Figure& figure : setup->figures) figures.push_back(ToJson(figure));
  setup->json["figures"] = figures;
  return flags.json.empty() || WriteJsonFile(flags.json, setup->json);
}

int Report(const Setup* setup) {
  fmt::print("\n{}", Table(setup->figures));
  const bool fine = setup->cuda() ? AllHold(setup->figures)
                                  : std::all_of(setup->figures.begin(), setup->figures.end(),
                                                [](const Figure& figure) { return figure.broken.empty(); });
  return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

int Run(const Flags& flags) {
  if (flags.gpu) {  // ours and theirs see that one only
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
    setenv("CUDA_VISIBLE_DEVICES", std::to_string(*flags.gpu).c_str(), 1);
  }
  Setup setup;
  setup.backend = flags.backend;
  setup.quick = flags.quick;
  if (const auto introduced = Introduce(&setup); !introduced) {
    fmt::print("SKIPPED: {}\n", introduced.error());
    return EXIT_SUCCESS;
  }
  const auto priority = TakeClientCpu();
  if (priority == nullptr) return EXIT_FAILURE;
  for (const Measurement& measurement : kAll) {
    const auto& only = flags.only;
    if (!only.empty() && std::find(only.begin(), only.end(), measurement.name) == only.end()) continue;
    Measure(&setup, measurement);
    if (!Save(flags, &setup)) return EXIT_FAILURE;
  }
  return Report(&setup);
}

int ParseAndRun(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<std::string> names;
  for (const Measurement& measurement : kAll) names.push_back(measurement.name);
  Flags flags;
  std::string board;
  uint32_t place = 0;
  std::string file;
  bool rehearse = false;
  cli::Program program(
      "gpu", "What guests get from the GPU, and what a program on the host gets from it by itself.");
  CLI::App& app = program.app();
  cli::AddWord(app, "--backend", &flags.backend,
               "of the mediator; cpu: a rehearsal, in which nothing is judged (default: cuda)",
               {"cuda", "cpu"});
  cli::AddInteger(app, "--gpu", &flags.gpu, "which one, as nvidia-smi counts", 0);
  cli::AddFlag(app, "--quick", &flags.quick, "few and short rounds: to see that everything works");
  cli::AddWords(app, "--only", &flags.only, "only these measurements", names);
  cli::AddText(app, "--json", &flags.json, "also write everything to this file", "FILE");
  CLI::App* guest = app.add_subcommand("guest", "")->group("");  // one of our own processes
  cli::AddText(*guest, "--board", &board, "")->required();
  cli::AddInteger(*guest, "--seat", &place, "")->required();
  // The same, but nothing to do with a mediator.
  CLI::App* neighbour = app.add_subcommand("neighbour", "")->group("");
  cli::AddText(*neighbour, "--file", &file, "")->required();
  cli::AddFlag(*neighbour, "--rehearse", &rehearse, "");
  if (const auto status = program.Parse(argc, argv)) return *status;
  if (*guest) return RunGuest(board, place);
  return *neighbour ? RunNeighbour(file, !rehearse) : cli::FinishOutput("gpu", Run(flags));
}

}  // namespace
}  // namespace vgpu::bench

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::ParseAndRun(argc, argv); });
}
