// SPDX-License-Identifier: Apache-2.0
#include "bench/figures/gpu/setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <thread>

namespace vgpu::bench {
namespace {

constexpr std::chrono::milliseconds kRampUp{100};

}  // namespace

Result<std::unique_ptr<MediatorProcess>> Setup::Mediator(const std::string& gpu_keys) const {
  MediatorOptions options;
  options.backend = backend;
  options.spread = true;
  if (cuda() && !gpu_keys.empty()) options.config = "[gpu]\n" + gpu_keys + "\n";
  return MediatorProcess::Start(options);
}

Figure Compare(const std::string& name, const std::string& title, const Gate& gate,
               const std::vector<double>& ours, const std::vector<double>& theirs, const std::string& note) {
  Figure figure;
  figure.name = name;
  figure.title = title;
  figure.gate = gate;
  figure.note = note;
  figure.detail = {{"ours", ours}, {"theirs", theirs}};
  if (theirs.empty()) {
    figure.skipped = "no GPU to compare with";
  } else {
    figure.values = Ratios(ours, theirs);
    figure.drift = Drift(theirs);
  }
  return figure;
}

void NoteWrong(uint64_t wrong, Figure* figure) {
  if (wrong != 0) figure->broken = fmt::format("{} wrong answers", wrong);
}

double Median(const std::vector<double>& values) { return values.empty() ? 0 : Quantile(values, 0.5); }

double Mean(const std::vector<double>& values) {
  return values.empty()
             ? 0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

nlohmann::json PrintContest(const std::string& title, const std::vector<Series>& all) {
  fmt::print("\n{:<44} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}  {}\n", title, "us each", "p50", "p99",
             "p99.9", "samples", "CPU us", "/ first", "quartiles");
  nlohmann::json json = nlohmann::json::array();
  for (const Series& series : all) {
    const base::Histogram& latency = series.latency_ns;
    const Spread ratio = SpreadOf(Ratios(series.ns_per_request, all[0].ns_per_request));
    const auto us = [&](double q) {
      return latency.count() == 0 ? "-"
                                  : fmt::format("{:.2f}", static_cast<double>(latency.Percentile(q)) / 1e3);
    };
    fmt::print("{:<44} {:>9.3f} {:>9} {:>9} {:>9} {:>9} {:>8.2f} {:>8.3f}  {:.3f} .. {:.3f}{}\n", series.name,
               Median(series.ns_per_request) / 1e3, us(50), us(99), us(99.9), latency.count(),
               Mean(series.cpu_ns) / 1e3, ratio.median, ratio.q1, ratio.q3,
               series.wrong == 0 ? "" : fmt::format("  {} WRONG ANSWERS", series.wrong));
    json.push_back(ToJson(series));
  }
  std::fflush(stdout);
  return json;
}

const Series* Find(const std::vector<Series>& all, const std::string& name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Series& series) { return series.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string LatencyText(const base::Histogram& latency_ns) {
  const auto us = [&](double q) { return static_cast<double>(latency_ns.Percentile(q)) / 1e3; };
  return fmt::format("p50 {:.2f} us, p99 {:.2f}, p99.9 {:.2f} ({} timed)", us(50), us(99), us(99.9),
                     latency_ns.count());
}

std::vector<GuestPlan> AddGuests(uint32_t count, uint32_t first_vm, uint32_t depth, uint64_t region_bytes) {
  std::vector<GuestPlan> plans(count);
  for (uint32_t i = 0; i < count; ++i) {
    plans[i].vm_id = first_vm + i;
    plans[i].depth = depth;
    plans[i].region_bytes = region_bytes;
  }
  return plans;
}

Meter::Meter(const Guests& guests, const MediatorProcess& mediator)
    : guests_(guests),
      mediator_(mediator.pid()),
      answered_(guests.Total().count),
      cpu_ns_(UsageWithChildren(mediator_).cpu_ns),
      begin_ns_(SteadyNs()) {}

Interval Meter::Read() const {
  const auto gone_ns = static_cast<double>(SteadyNs() - begin_ns_);
  const auto answered = static_cast<double>(guests_.Total().count - answered_);
  const auto cpu_ns = static_cast<double>(UsageWithChildren(mediator_).cpu_ns - cpu_ns_);
  return {answered * 1e9 / gone_ns, cpu_ns / 1e3 / std::max(1.0, answered)};
}

Result<Interval> WorkFor(Guests& guests, size_t count, const MediatorProcess& mediator,
                         std::chrono::milliseconds span) {
  guests.Work(count);
  std::this_thread::sleep_for(kRampUp);
  const Meter meter(guests, mediator);
  std::this_thread::sleep_for(span);
  const Interval interval = meter.Read();
  if (const auto rested = guests.Rest(); !rested) return tl::make_unexpected(rested.error());
  return interval;
}

}  // namespace vgpu::bench
