// SPDX-License-Identifier: Apache-2.0
// //bench:interference: what two victims and a vector client notice of one attack at a time. README.md.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cli/options.h"
#include "base/cli/output.h"
#include "base/cli/program.h"
#include "bench/interference/report.h"
#include "bench/interference/result_file.h"
#include "bench/lib/figure.h"
#include "bench/lib/program.h"

namespace vgpu::bench::interference {
namespace {

struct Flags {
  Settings settings;
  std::vector<std::string> only;
  std::string json;
  std::string resume;
  std::string commit;
  bool list = false;
  bool unpinned = false;
};

int List() {
  for (const Case& attack : Cases())
    cli::Print("{:<18} {:<8} {}\n", attack.name, KindName(attack.kind), attack.title);
  return EXIT_SUCCESS;
}

bool Wanted(const Flags& flags, const Case& attack) {
  return flags.only.empty() ||
         std::find(flags.only.begin(), flags.only.end(), attack.name) != flags.only.end();
}

const Cell* Find(const std::vector<Cell>& cells, const Case& attack) {
  const auto at =
      std::find_if(cells.begin(), cells.end(), [&](const Cell& cell) { return cell.attack == &attack; });
  return at == cells.end() ? nullptr : &*at;
}

// What there is, and what is still wanted, in the order of the matrix. Written after each, if to be written
// at all.
std::optional<std::vector<Cell>> MeasureAll(const Flags& flags, std::vector<Cell> cells) {
  for (const Case& attack : Cases()) {
    if (!Wanted(flags, attack) || Find(cells, attack) != nullptr) continue;
    fmt::print(stderr, "== {}\n", attack.name);
    Cell cell = Measure(attack, flags.settings);
    cell.origin = OriginOf(flags.settings, flags.commit);
    const auto after = [&](const Cell& other) { return other.attack > &attack; };
    cells.insert(std::find_if(cells.begin(), cells.end(), after), std::move(cell));
    if (!flags.json.empty() && !WriteResult(flags.json, cells, flags.settings)) return std::nullopt;
  }
  return cells;
}

int Run(Flags flags) {
  if (flags.list) return List();
  flags.settings.pinned = !flags.unpinned;
  const std::string given = flags.settings.mediator;
  flags.settings.mediator =
      OrThrow(Runfile(given.empty() ? "mediator/mediator" : std::filesystem::absolute(given)));
  std::vector<Cell> earlier;
  if (!flags.resume.empty()) {
    earlier = OrThrow(EarlierCells(flags.resume, flags.settings));
    flags.json = flags.resume;
    cli::Print("{} has {} attacks already\n", flags.resume, earlier.size());
  }
  if (const auto taken = TakeOthersCpu(flags.settings.pinned); !taken)
    throw std::runtime_error(taken.error());
  const HighPriority priority;
  if (!priority.granted())
    fmt::print(stderr, "note: not permitted to raise the priority; expect more noise\n");
  cli::Print("{}\n{} windows of {} s, seed {}, mediator {}\n", MachineText(), flags.settings.intervals,
             flags.settings.seconds, flags.settings.seed, flags.settings.mediator);
  std::fflush(stdout);
  const auto cells = MeasureAll(flags, std::move(earlier));
  if (!cells) return EXIT_FAILURE;
  const std::vector<Figure> figures = FiguresOf(*cells, flags.settings.pinned);
  cli::Print("{}\n{}{}\n{}", CellTable(*cells), PinningText(*cells, flags.settings.pinned),
             OriginsText(*cells), Table(figures));
  return AllHold(figures) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ParseAndRun(int argc, char** argv) {
  constexpr double kSecondsMin = 0.05, kSecondsMost = 600;
  std::vector<std::string> names;
  for (const Case& attack : Cases()) names.push_back(attack.name);
  Flags flags;
  Settings& settings = flags.settings;
  cli::Program program("interference", "Measures what innocents notice of attacks, one at a time.");
  CLI::App& app = program.app();
  cli::AddInteger(app, "--windows", &settings.intervals, "of each kind for each attack", 1, 10'000);
  cli::AddSeconds(app, "--seconds", &settings.seconds, "length of a window")
      ->check(CLI::Range(kSecondsMin, kSecondsMost));
  cli::AddWords(app, "--only", &flags.only, "only these attacks", names);
  cli::AddText(app, "--mediator", &settings.mediator, "another mediator than this tree's", "PATH");
  cli::AddReadableFile(app, "--config", &settings.config, "configuration file of the mediator");
  cli::AddInteger(app, "--seed", &settings.seed, "of what attacks do at random");
  CLI::Option* json = cli::AddText(app, "--json", &flags.json,
                                   "also write everything to this file, after each attack", "FILE");
  cli::AddText(app, "--resume", &flags.resume, "the same, but what it has already is not measured again",
               "FILE")
      ->excludes(json);
  cli::AddText(app, "--commit", &flags.commit, "of what is measured, for the JSON (default: what git says)");
  cli::AddFlag(app, "--unpinned", &flags.unpinned, "everybody on all processors; printed, without gates");
  cli::AddFlag(app, "--list", &flags.list, "the attacks, and nothing else");
  if (const auto status = program.Parse(argc, argv)) return *status;
  return cli::FinishOutput("interference", Run(flags));
}

}  // namespace
}  // namespace vgpu::bench::interference

int main(int argc, char** argv) {
  return vgpu::bench::StatusOf([&] { return vgpu::bench::interference::ParseAndRun(argc, argv); });
}
