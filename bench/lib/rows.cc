// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/rows.h"

#include <fmt/format.h>

#include "base/duration.h"
#include "base/histogram_json.h"
#include "bench/lib/stats.h"

namespace vgpu::bench {
namespace {

// A percentile of too few samples is one of them, by chance.
std::string PercentileText(const Row& row, double percent) {
  constexpr double kBeyond = 1;  // samples that must lie above it
  const auto count = static_cast<double>(row.latency_ns.count());
  if (count * (100 - percent) / 100 < kBeyond) return "-";
  return TimeText(static_cast<double>(row.latency_ns.Percentile(percent)));
}

std::string TimesText(const std::vector<double>& these, const std::vector<double>& those) {
  if (these.size() != those.size() || these.empty()) return "-";
  return FactorText(Quantile(Ratios(these, those), 0.5)) + " x";
}

}  // namespace

Row RowOf(const Series& series) {
  return {series.name, series.latency_ns, series.p50_ns, series.p99_ns, series.wrong, ""};
}

void AddRound(const std::vector<nlohmann::json>& printed, double seconds, Row* row) {
  base::Histogram round_ns;
  for (const nlohmann::json& guest : printed) {
    const nlohmann::json& latency = guest.at("latency");
    round_ns.Merge(base::HistogramFrom(latency.at("buckets")));
    row->setting = guest.value("mount", "");
    row->wrong += guest.at("wrong").get<uint64_t>();
  }
  row->latency_ns.Merge(round_ns);
  row->p50_ns.push_back(static_cast<double>(round_ns.Percentile(50)));
  row->p99_ns.push_back(static_cast<double>(round_ns.Percentile(99)));
  row->per_s.push_back(static_cast<double>(round_ns.count()) / seconds);
}

std::string FactorText(double factor) {
  if (factor < 100) return fmt::format("{:.3g}", factor);
  const std::string digits = fmt::format("{:.0f}", factor);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string TimeText(double ns) { return base::DurationText(ns); }

std::string Describe(const Row& row) {
  return fmt::format("{} {} (p99 {}; {} timed)", row.name, PercentileText(row, 50), PercentileText(row, 99),
                     row.latency_ns.count());
}

std::string Table(const RowGroup& group) {
  constexpr const char* kLine = "{:<36} {:>9} {:>9} {:>9} {:>9}  {:>12}";
  constexpr const char* kRates = "  {:>12} {:>12}";
  std::string text = fmt::format(kLine, group.title, "p50", "p99", "p99.9", "samples", "p50 / ours");
  if (group.rates) text += fmt::format(kRates, "a second", "ours / it");
  text += '\n';
  for (const Row& row : group.rows) {
    const Row& ours = group.rows.front();
    text +=
        fmt::format(kLine, row.name, PercentileText(row, 50), PercentileText(row, 99),
                    PercentileText(row, 99.9), row.latency_ns.count(), TimesText(row.p50_ns, ours.p50_ns));
    if (group.rates)
      text += fmt::format(kRates, FactorText(Quantile(row.per_s, 0.5)), TimesText(ours.per_s, row.per_s));
    text += '\n';
  }
  return text;
}

nlohmann::json ToJson(const RowGroup& group) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : group.rows) {
    const base::Histogram& latency = row.latency_ns;
    rows.push_back({{"name", row.name},
                    {"samples", latency.count()},
                    {"wrong", row.wrong},
                    {"p50", latency.Percentile(50)},
                    {"p99", latency.Percentile(99)},
                    {"p99_9", latency.Percentile(99.9)},
                    {"max", latency.max()},
                    {"setting", row.setting},
                    {"round_p50_ns", row.p50_ns},
                    {"round_p99_ns", row.p99_ns},
                    {"round_per_s", row.per_s},
                    {"buckets", base::BucketsJson(latency)}});
  }
  return {{"title", group.title}, {"elements", group.elements}, {"rows", rows}};
}

bool WriteJson(const std::string& path, const std::vector<Figure>& figures,
               const std::vector<RowGroup>& groups) {
  nlohmann::json json = {
      {"machine", MachineJson()}, {"groups", nlohmann::json::array()}, {"figures", nlohmann::json::array()}};
  for (const RowGroup& group : groups) json["groups"].push_back(ToJson(group));
  for (const Figure& figure : figures) json["figures"].push_back(ToJson(figure));
  return WriteJsonFile(path, json);
}

}  // namespace vgpu::bench
