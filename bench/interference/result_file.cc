// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/result_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/interference/cell_json.h"
#include "bench/interference/report.h"
#include "bench/lib/figure.h"

namespace vgpu::bench::interference {
namespace {

nlohmann::json ToJson(const Settings& settings) {
  return {{"mediator", settings.mediator}, {"config", settings.config}, {"windows", settings.intervals},
          {"seconds", settings.seconds},   {"seed", settings.seed},     {"pinned", settings.pinned}};
}

// Cells of different settings cannot stand in one table. The mediator may differ:
// each cell says which it was.
std::string DifferenceOf(const nlohmann::json& earlier, const nlohmann::json& now) {
  for (const char* name : {"windows", "seconds", "seed", "pinned", "config"}) {
    if (earlier.at(name) != now.at(name))
      return fmt::format("{} is {} there and {} here", name, earlier.at(name).dump(), now.at(name).dump());
  }
  return "";
}

std::vector<Cell> MeasuredCells(const nlohmann::json& cells) {
  std::vector<Cell> measured;
  for (const Case& attack : Cases()) {
    for (const nlohmann::json& json : cells) {
      if (json.at("name") != attack.name || json.contains("skipped") || json.contains("broken")) continue;
      measured.push_back(CellFrom(json, attack));
      break;
    }
  }
  return measured;
}

// FNV-1a: to tell builds apart, not to keep anybody from anything.
std::string IdOf(const std::string& bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

std::string CommitOf(const char* folder) {
  if (folder == nullptr) return "";
  const TempDir out;
  SpawnOptions options;
  options.out = out / "commit";
  auto git = Spawn({"git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=10"}, options);
  if (!git || git->Wait() != 0) return "";
  std::string commit = ReadFile(options.out);
  while (!commit.empty() && commit.back() == '\n') commit.pop_back();
  return commit;
}

}  // namespace

Result<std::vector<Cell>> EarlierCells(const std::string& path, const Settings& settings) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return std::vector<Cell>();
  try {
    const auto earlier = nlohmann::json::parse(ReadFile(path));
    if (const auto differs = DifferenceOf(earlier.at("settings"), ToJson(settings)); !differs.empty())
      return tl::make_unexpected(fmt::format(
          "{} was measured in another way: {}; give the same flags, or another file", path, differs));
    return MeasuredCells(earlier.at("cells"));
  } catch (const nlohmann::json::exception& wrong) {
    return tl::make_unexpected(
        fmt::format("{} is no result of this program ({}); name another file", path, wrong.what()));
  }
}

bool WriteResult(const std::string& path, const std::vector<Cell>& cells, const Settings& settings) {
  nlohmann::json json = {{"machine", MachineJson()},
                         {"cells", nlohmann::json::array()},
                         {"figures", nlohmann::json::array()},
                         {"settings", ToJson(settings)}};
  for (const Cell& cell : cells) json["cells"].push_back(interference::ToJson(cell));
  for (const Figure& figure : FiguresOf(cells, settings.pinned))
    json["figures"].push_back(bench::ToJson(figure));
  const std::string unfinished = path + ".new";
  if (!WriteJsonFile(unfinished, json)) return false;
  if (std::rename(unfinished.c_str(), path.c_str()) == 0) return true;
  fmt::print(stderr, "cannot write {}: {}\n", path, std::strerror(errno));
  return false;
}

Origin OriginOf(const Settings& settings, const std::string& commit) {
  return {commit.empty() ? CommitOf(std::getenv("BUILD_WORKSPACE_DIRECTORY")) : commit,
          IdOf(ReadFile(settings.mediator)), MachineJson()};
}

std::string OriginsText(const std::vector<Cell>& cells) {
  std::map<std::string, size_t> origins;
  for (const Cell& cell : cells) {
    const auto& machine = cell.origin.machine;
    const std::string where =
        machine.is_object()
            ? fmt::format("{}, Linux {}", machine.value("cpu", "unknown"), machine.value("kernel", "unknown"))
            : "an unknown machine";
    ++origins[fmt::format("commit {}, mediator {}, on {}",
                          cell.origin.commit.empty() ? "unknown" : cell.origin.commit,
                          cell.origin.mediator_id, where)];
  }
  if (origins.size() < 2) return "";
  std::string text = "the cells are of several builds or machines:\n";
  for (const auto& [origin, count] : origins) text += fmt::format("  {} x {}\n", count, origin);
  return text;
}

}  // namespace vgpu::bench::interference
