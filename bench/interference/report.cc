// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace vgpu::bench::interference {
namespace {

// Whose latencies are gated. The vector client shows what becomes of longer work.
constexpr const char* kGated[] = {"high", "medium"};

std::string Us(double us) { return us < 10'000 ? fmt::format("{:.1f}", us) : fmt::format("{:.0f}", us); }

std::string Ratio(double baseline, double beside) {
  if (baseline == 0) return "-";
  const double ratio = beside / baseline;
  return ratio < 100 ? fmt::format("x{:.2f}", ratio) : fmt::format("x{:.0f}", ratio);
}

std::string Line(const std::string& attack, const Noticed& noticed, bool with_nops) {
  const Summary &a = noticed.baseline, &b = noticed.beside;
  const LateExcess late = ExcessOf(a, b);
  return fmt::format(
      "{:<46} {:<6} {:>8} {:>7} | {:>8} {:>7} {:>7} | {:>9} {:>7} | {:>9} {:>9} | {:>7} {:>9} | {:>6} {:>5} "
      "| {:>7} {:>7}\n",
      attack, noticed.name, Us(a.p50_us), Ratio(a.p50_us, b.p50_us), Us(a.p99_us),
      with_nops ? Ratio(a.p99_us, noticed.nops.p99_us) : "", Ratio(a.p99_us, b.p99_us), Us(a.p999_us),
      Ratio(a.p999_us, b.p999_us), Us(a.gap_us / 1000), Us(b.gap_us / 1000),
      fmt::format("{:+.0f}", late.excess), fmt::format("+-{:.0f}", late.three_sd), b.wrong + noticed.lost,
      fmt::format("{:.1f}", 100 * b.blind_share()), a.answers, b.answers);
}

// "high 0, at most 3; medium ..." of the intervals, in each of which one VM attacked: late answers.
std::string LateForEachVm(const Cell& cell) {
  std::string text;
  for (const char* name : kGated) {
    const Noticed* victim = cell.victim(name);
    if (victim == nullptr) continue;
    const Spread late = SpreadOf(victim->beside.late_by_interval);
    text += fmt::format("{}{} {:.0f}, at most {:.0f}", text.empty() ? "" : "; ", name, late.median, late.max);
  }
  return text;
}

std::string Remarks(const Cell& cell) {
  std::string text;
  const auto add = [&](const std::string& line) { text += fmt::format("    {}\n", line); };
  if (!cell.skipped.empty()) add("skipped: " + cell.skipped);
  if (!cell.broken.empty()) add("BROKEN: " + cell.broken);
  if (!cell.ring_cpu_beside.empty()) {
    add(fmt::format("ring thread {:.0f} % of its processor alone, {:.0f} % beside; log {} KB",
                    SpreadOf(cell.ring_cpu_baseline).median, SpreadOf(cell.ring_cpu_beside).median,
                    cell.log_bytes / 1000));
  }
  if (cell.attack->kind == Kind::kMemory && !cell.held.empty())
    add(fmt::format("late answers for each attacking VM ({} of them, one a window): {}", cell.held.size(),
                    LateForEachVm(cell)));
  if (cell.ended_early != 0)
    add(fmt::format("{} attackers had ended before their window did", cell.ended_early));
  if (!cell.says.empty()) add(fmt::format("says: {}", fmt::join(cell.says, " | ")));
  return text;
}

class Figures {
 public:
  Figures(const Cell& cell, bool pinned) : cell_(cell), case_(*cell.attack), pinned_(pinned) {}

  std::vector<Figure> All() {
    if (!cell_.skipped.empty()) return {Skipped(case_.name, cell_.skipped)};
    if (!cell_.broken.empty()) return {Failed(case_.name, cell_.broken)};
    switch (case_.kind) {
      case Kind::kControl: break;
      case Kind::kOwner:
        AddP99("beside / alone", kOwnerP99Max);
        AddLate();
        break;
      case Kind::kGuest: AddP99("beside / beside NOPs", kGuestP99Max); break;
      case Kind::kMemory: case_.extra == Extra::kOneStall ? AddStalls() : AddLate();
    }
    if (case_.extra == Extra::kRingCpu) AddRingCpu();
    if (case_.extra == Extra::kKilled) AddHeld();
    return std::move(figures_);
  }

 private:
  // Without a verdict of its own, or in a run that is not pinned, there is no gate.
  void Add(const std::string& what, const std::string& title, double bound, std::vector<double> values,
           Verdict verdict, const std::string& note) {
    Figure figure;
    figure.name = fmt::format("{}_{}", case_.name, what);
    figure.title = fmt::format("{}: {}", case_.name, title);
    figure.gate.bound = pinned_ ? bound : NAN;
    figure.judged = !pinned_                         ? Verdict::kNoGate
                    : cell_.held.size() < kRoundsMin ? Verdict::kInconclusive
                                                     : verdict;
    figure.values = std::move(values);
    figure.note = note;
    figures_.push_back(std::move(figure));
  }

  // A victim of a lower class than the aggressor must wait.
  bool Gated(const char* name) const {
    constexpr uint32_t kHigh = 2;
    return case_.kind != Kind::kGuest || case_.priority != kHigh || std::string_view(name) == "high";
  }

  // The worse one of the victims.
  void AddP99(const char* title, double bound) {
    const Noticed* worst = nullptr;
    P99Ratio worst_ratio;
    Verdict verdict = Verdict::kHolds;
    for (const char* name : kGated) {
      const Noticed* victim = cell_.victim(name);
      if (!Gated(name) || victim == nullptr) continue;
      const P99Ratio ratio =
          RatioOf(case_.kind == Kind::kGuest ? victim->nops : victim->baseline, victim->beside);
      verdict = Worse(verdict, JudgeP99(ratio, bound, victim->beside.blind_share()));
      if (worst != nullptr && SpreadOf(ratio.by_interval).median <= SpreadOf(worst_ratio.by_interval).median)
        continue;
      worst = victim;
      worst_ratio = ratio;
    }
    if (worst == nullptr) return;
    Add("p99", fmt::format("p99 {}", title), bound, worst_ratio.by_interval, verdict,
        fmt::format("{}: p99 {} us alone, {} us beside; of all windows together {:.2f}; blind {:.1f} %",
                    worst->name, Us(worst->baseline.p99_us), Us(worst->beside.p99_us), worst_ratio.pooled,
                    100 * worst->beside.blind_share()));
  }

  static Verdict Worse(Verdict a, Verdict b) {
    for (const Verdict verdict : {Verdict::kFallsShort, Verdict::kInconclusive}) {
      if (a == verdict || b == verdict) return verdict;
    }
    return a;
  }

  // Values: by interval, of both, beyond what was late alone.
  void AddLate() {
    std::vector<double> values(cell_.held.size());
    Verdict verdict = Verdict::kHolds;
    std::string note;
    for (const char* name : kGated) {
      const Noticed* victim = cell_.victim(name);
      if (victim == nullptr) continue;
      const LateExcess late = ExcessOf(victim->baseline, victim->beside);
      verdict = Worse(verdict, JudgeNoneLate(late));
      note += fmt::format("{}{}: {} late alone, {} beside, 3 standard deviations {:.0f}",
                          note.empty() ? "" : "; ", name, victim->baseline.late, victim->beside.late,
                          late.three_sd);
      for (size_t i = 0; i < values.size() && i < victim->beside.late_by_interval.size(); ++i) {
        values[i] += victim->beside.late_by_interval[i] - victim->baseline.late_by_interval[i];
      }
    }
    Add("late", "late answers beside - alone", 0, values, verdict, note);
  }

  void AddStalls() {
    std::vector<double> values;
    Verdict verdict = Verdict::kHolds;
    std::string note;
    for (const char* name : kGated) {
      const Noticed* victim = cell_.victim(name);
      if (victim == nullptr) continue;
      verdict = Worse(verdict, JudgeStalls(victim->baseline, victim->beside, kStallsMax));
      if (values.empty()) values = victim->beside.stalls_by_interval;
      note += fmt::format("{}{}: longest gap {} ms", note.empty() ? "" : "; ", name,
                          Us(victim->beside.gap_us / 1000));
    }
    note += fmt::format("; late answers for each attacking VM: {}", LateForEachVm(cell_));
    Add("stalls", "stalls of each attacking VM", kStallsMax, values, verdict, note);
  }

  void AddRingCpu() {
    std::vector<double> values;
    for (size_t i = 0; i < std::min(cell_.ring_cpu_beside.size(), cell_.ring_cpu_baseline.size()); ++i) {
      values.push_back(cell_.ring_cpu_beside[i] - cell_.ring_cpu_baseline[i]);
    }
    Gate gate;
    gate.bound = kRingCpuMax;
    Add("ring_cpu", "% of the ring thread's processor", kRingCpuMax, values,
        Judge(gate, SpreadOf(values).median, values.size(), 1), "beside - alone");
  }

  void AddHeld() {
    std::vector<double> values;
    uint64_t mappings = 0, descriptors = 0;
    for (const Held& held : cell_.held) {
      values.push_back(static_cast<double>(held.mappings + held.all_descriptors));
      mappings = std::max(mappings, held.mappings);
      descriptors = std::max(descriptors, held.all_descriptors);
    }
    const bool none = std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
    Add("held", "held 1 s after 90 owners were killed", 0, values,
        none ? Verdict::kHolds : Verdict::kFallsShort,
        fmt::format("at most {} mappings and {} descriptors", mappings, descriptors));
  }

  const Cell& cell_;
  const Case& case_;
  const bool pinned_;
  std::vector<Figure> figures_;
};

Figure ErrorsOf(const std::vector<Cell>& cells, bool pinned) {
  Figure figure;
  figure.name = "errors";
  figure.title = "wrong or lost answers of innocents, by attack";
  figure.gate.bound = pinned ? 0 : NAN;
  uint64_t all = 0;
  for (const Cell& cell : cells) {
    if (!cell.skipped.empty()) continue;
    figure.values.push_back(static_cast<double>(cell.errors()));
    all += cell.errors();
    if (cell.errors() != 0)
      figure.note +=
          fmt::format("{}{} {}", figure.note.empty() ? "" : ", ", cell.attack->name, cell.errors());
  }
  figure.judged = !pinned ? Verdict::kNoGate : all == 0 ? Verdict::kHolds : Verdict::kFallsShort;
  if (figure.values.empty()) figure.judged = Verdict::kInconclusive;
  return figure;
}

}  // namespace

std::string CellTable(const std::vector<Cell>& cells) {
  std::string text = fmt::format(
      "{:<46} {:<6} {:>8} {:>7} | {:>8} {:>7} {:>7} | {:>9} {:>7} | {:>9} {:>9} | {:>7} {:>9} | {:>6} "
      "{:>5} | {:>7} {:>7}\n",
      "attack", "", "p50 us", "", "p99 us", "nops", "beside", "p99.9 us", "", "gap ms", "beside", "late",
      "3 sd", "errors", "bl.%", "n alone", "beside");
  for (const Cell& cell : cells) {
    if (cell.victims.empty()) text += fmt::format("{}\n", cell.attack->title);
    std::string title = cell.attack->title;
    for (const Noticed& noticed : cell.victims) {
      text += Line(title, noticed, cell.attack->kind == Kind::kGuest);
      title.clear();
    }
    text += Remarks(cell);
  }
  return text;
}

std::string PinningText(const std::vector<Cell>& cells, bool pinned) {
  std::map<std::string, uint64_t> kinds;
  uint64_t strays = 0;
  for (const Cell& cell : cells) {
    strays += cell.strays;
    for (const auto& kind : cell.threads) {
      kinds[fmt::format("{}{} on processor {}, found on {}", kind["name"].get<std::string>(),
                        kind["ring"].get<bool>() ? " (the ring thread)" : "",
                        kind["runs_on"].get<std::string>(), kind["found_on"].get<std::string>())] +=
          kind["threads"].get<uint64_t>();
    }
  }
  std::string text = "the mediators' threads, as allowed after the attacks:\n";
  for (const auto& [kind, count] : kinds) text += fmt::format("  {} x {}\n", count, kind);
  if (pinned)
    text += fmt::format("  threads found on the ring thread's processor, and bound elsewhere: {}\n", strays);
  return text;
}

std::vector<Figure> FiguresOf(const std::vector<Cell>& cells, bool pinned) {
  std::vector<Figure> figures;
  for (const Cell& cell : cells) {
    for (Figure& figure : Figures(cell, pinned).All()) figures.push_back(std::move(figure));
  }
  figures.push_back(ErrorsOf(cells, pinned));
  return figures;
}

}  // namespace vgpu::bench::interference
