// SPDX-License-Identifier: Apache-2.0
// //bench:interference: what two innocents and a vector client notice of one attack at a time. README.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/figure.h"
#include "bench/interference/report.h"
#include "bench/program.h"

namespace vgpu::bench::interference {
namespace {

struct Flags {
  Settings settings;
  std::vector<std::string> only;
  std::string json;
  bool list = false;
  bool unpinned = false;
};

int List() {
  for (const Case& attack : Cases())
    fmt::print("{:<18} {:<8} {}\n", attack.name, KindName(attack.kind), attack.title);
  return EXIT_SUCCESS;
}

bool WriteResult(const Flags& flags, const std::vector<Cell>& cells, const std::vector<Figure>& figures) {
  nlohmann::json json = {
      {"machine", MachineJson()}, {"cells", ToJson(cells)}, {"figures", nlohmann::json::array()}};
  for (const Figure& figure : figures) json["figures"].push_back(bench::ToJson(figure));
  const Settings& settings = flags.settings;
  json["settings"] = {{"mediator", settings.mediator}, {"config", settings.config},
                      {"windows", settings.windows},   {"seconds", settings.seconds},
                      {"seed", settings.seed},         {"pinned", settings.pinned}};
  return WriteJsonFile(flags.json, json);
}

int Run(Flags flags) {
  if (flags.list) return List();
  flags.settings.pinned = !flags.unpinned;
  const std::string given = flags.settings.mediator;
  flags.settings.mediator =
      OrThrow(Runfile(given.empty() ? "mediator/mediator" : std::filesystem::absolute(given)));
  if (const auto taken = TakeOthersCpu(flags.settings.pinned); !taken)
    throw std::runtime_error(taken.error());
  const HighPriority priority;
  if (!priority.granted())
    fmt::print(stderr, "note: not permitted to raise the priority; expect more noise\n");
  fmt::print("{}\n{} windows of {} s, seed {}, mediator {}\n", MachineText(), flags.settings.windows,
             flags.settings.seconds, flags.settings.seed, flags.settings.mediator);
  std::fflush(stdout);
  std::vector<Cell> cells;
  for (const Case& attack : Cases()) {
    if (!flags.only.empty() &&
        std::find(flags.only.begin(), flags.only.end(), attack.name) == flags.only.end())
      continue;
    fmt::print(stderr, "== {}\n", attack.name);
    cells.push_back(Measure(attack, flags.settings));
  }
  const std::vector<Figure> figures = FiguresOf(cells, flags.settings.pinned);
  fmt::print("{}\n{}\n{}", CellTable(cells), PlacementText(cells, flags.settings.pinned), Table(figures));
  if (!flags.json.empty() && !WriteResult(flags, cells, figures)) return EXIT_FAILURE;
  return AllHold(figures) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ParseAndRun(int argc, char** argv) {
  std::vector<std::string> names;
  for (const Case& attack : Cases()) names.push_back(attack.name);
  Flags flags;
  Settings& settings = flags.settings;
  CLI::App app("Measures what innocents notice of attacks, one at a time", "interference");
  app.add_option("--windows", settings.windows, "of each kind for each attack")->check(CLI::Range(1, 10000));
  app.add_option("--seconds", settings.seconds, "length of a window")->check(CLI::Range(0.05, 600.0));
  app.add_option("--only", flags.only, "only these attacks")->check(CLI::IsMember(names));
  app.add_option("--mediator", settings.mediator, "another mediator than this tree's");
  app.add_option("--config", settings.config, "configuration file of the mediator")->check(CLI::ExistingFile);
  app.add_option("--seed", settings.seed, "of what attacks do at random");
  app.add_option("--json", flags.json, "also write everything to this file");
  app.add_flag("--unpinned", flags.unpinned, "everybody on all processors; printed, without gates");
  app.add_flag("--list", flags.list, "the attacks, and nothing else");
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}

}  // namespace
}  // namespace vgpu::bench::interference

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::interference::ParseAndRun(argc, argv); });
}
