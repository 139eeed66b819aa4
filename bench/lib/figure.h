// SPDX-License-Identifier: Apache-2.0
// A figure: what was measured, its gate, and what came out.
#ifndef VGPU_BENCH_LIB_FIGURE_H_
#define VGPU_BENCH_LIB_FIGURE_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/lib/stats.h"

namespace vgpu::bench {

struct Figure {
  std::string name;   // for --only and JSON: "rtt_rival"
  std::string title;  // for people
  Gate gate;
  std::vector<double> values;     // by round; their median is the figure's value
  double drift = 1;               // of the machine's own speed in the run (Drift)
  std::string note;               // absolute values, against whom
  std::string broken;             // why the measurement itself shows a fault (a wrong answer): never holds
  std::string skipped;            // why it could not be made here
  std::optional<Verdict> judged;  // by statistics of its own, where the median of rounds is not what counts
  nlohmann::json detail;

  Spread spread() const { return SpreadOf(values); }
  Verdict verdict() const;
};

// A measurement that could not be made: why not, or what failed.
Figure Skipped(const std::string& name, const std::string& why);
Figure Failed(const std::string& name, const std::string& why);

// One line a figure, and below it its note.
std::string Table(const std::vector<Figure>& figures);
nlohmann::json ToJson(const Figure& figure);
// The reverse, for figures of another process of ours.
Figure FigureFrom(const nlohmann::json& json);
bool AllHold(const std::vector<Figure>& figures);

// Processor, kernel, time: what a result means nothing without.
nlohmann::json MachineJson();
std::string MachineText();

// Writes a result; false (and a message) if the file cannot be written.
bool WriteJsonFile(const std::string& path, const nlohmann::json& json);
// Writes figures with the machine; false (and a message) if the file cannot be written.
bool WriteJson(const std::string& path, const std::vector<Figure>& figures);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_FIGURE_H_
