// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/figure.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <thread>

#include "base/json_text.h"

namespace vgpu::bench {
namespace {

std::string BoundOf(const Gate& gate) {
  if (std::isnan(gate.bound)) return "";
  return fmt::format("{} {:.3g}", gate.better == Better::kLower ? "<=" : ">=", gate.bound);
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

Verdict Figure::verdict() const {
  if (!skipped.empty()) return Verdict::kSkipped;
  if (!broken.empty()) return Verdict::kFallsShort;
  if (judged) return *judged;
  return Judge(gate, spread().median, values.size(), drift);
}

Figure Skipped(const std::string& name, const std::string& why) {
  Figure figure;
  figure.name = figure.title = name;
  figure.gate.bound = NAN;
  figure.skipped = why;
  return figure;
}

Figure Failed(const std::string& name, const std::string& why) {
  Figure figure = Skipped(name, "");
  figure.broken = why;
  return figure;
}

std::string Table(const std::vector<Figure>& figures) {
  constexpr const char* kRow = "{:<58} {:>9} {:>19} {:>6} {:>9} {:>9}  {}\n";
  std::string text = fmt::format(kRow, "figure", "median", "quartiles", "rounds", "gate", "aim", "verdict");
  for (const Figure& figure : figures) {
    const Spread spread = figure.spread();
    const bool measured = spread.n != 0;
    text += fmt::format(kRow, figure.title, measured ? fmt::format("{:.4g}", spread.median) : "-",
                        measured ? fmt::format("{:.4g} .. {:.4g}", spread.q1, spread.q3) : "-", spread.n,
                        BoundOf(figure.gate), figure.gate.aim ? fmt::format("{:.3g}", *figure.gate.aim) : "",
                        VerdictName(figure.verdict()));
    for (const std::string* line : {&figure.note, &figure.broken, &figure.skipped}) {
      if (!line->empty()) text += fmt::format("    {}{}\n", line == &figure.broken ? "BROKEN: " : "", *line);
    }
    if (figure.drift > kDriftMax) {
      text += fmt::format(
          "    the machine's raw ping-pong changed by {:.1f}x in the run: repeat it on a quieter one\n",
          figure.drift);
    }
  }
  return text;
}

nlohmann::json ToJson(const Figure& figure) {
  const Spread spread = figure.spread();
  nlohmann::json json = {{"name", figure.name},
                         {"title", figure.title},
                         {"gate", figure.gate.bound},
                         {"better", figure.gate.better == Better::kLower ? "lower" : "higher"},
                         {"verdict", VerdictName(figure.verdict())},
                         {"median", spread.median},
                         {"q1", spread.q1},
                         {"q3", spread.q3},
                         {"min", spread.min},
                         {"max", spread.max},
                         {"rounds", spread.n},
                         {"values", figure.values},
                         {"drift", figure.drift},
                         {"note", figure.note},
                         {"detail", figure.detail}};
  if (figure.gate.aim) json["aim"] = *figure.gate.aim;
  if (!figure.broken.empty()) json["broken"] = figure.broken;
  if (!figure.skipped.empty()) json["skipped"] = figure.skipped;
  return json;
}

Figure FigureFrom(const nlohmann::json& json) {
  Figure figure;
  figure.name = json.at("name");
  figure.title = json.at("title");
  if (json.at("gate").is_number()) figure.gate.bound = json.at("gate");
  if (json.at("gate").is_null()) figure.gate.bound = NAN;
  figure.gate.better = json.at("better") == "lower" ? Better::kLower : Better::kHigher;
  if (json.contains("aim")) figure.gate.aim = json.at("aim").get<double>();
  figure.values = json.at("values").get<std::vector<double>>();
  figure.drift = json.at("drift");
  figure.note = json.at("note");
  figure.broken = json.value("broken", "");
  figure.skipped = json.value("skipped", "");
  figure.detail = json.at("detail");
  return figure;
}

bool AllHold(const std::vector<Figure>& figures) {
  return std::all_of(figures.begin(), figures.end(), [](const Figure& figure) {
    const Verdict verdict = figure.verdict();
    return verdict == Verdict::kHolds || verdict == Verdict::kNoGate;
  });
}

nlohmann::json MachineJson() {
  utsname kernel{};
  uname(&kernel);
  return {{"cpu", CpuName()},
          {"cpus", std::thread::hardware_concurrency()},
          {"kernel", kernel.release},
          {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))}};
}

std::string MachineText() {
  const nlohmann::json machine = MachineJson();
  return fmt::format("{}, {} processors, Linux {}, {}", machine["cpu"].get<std::string>(),
                     machine["cpus"].get<unsigned>(), machine["kernel"].get<std::string>(),
                     machine["date"].get<std::string>());
}

bool WriteJson(const std::string& path, const std::vector<Figure>& figures) {
  nlohmann::json all = nlohmann::json::array();
  for (const Figure& figure : figures) all.push_back(ToJson(figure));
  return WriteJsonFile(path, {{"machine", MachineJson()}, {"figures", all}});
}

bool WriteJsonFile(const std::string& path, const nlohmann::json& json) {
  std::ofstream file(path);
  file << base::JsonText(json, 1) << '\n';
  if (file.good()) return true;
  fmt::print(stderr, "cannot write {}: is its folder there?\n", path);
  return false;
}

}  // namespace vgpu::bench
