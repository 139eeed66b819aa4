// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/rows.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vgpu::bench {
namespace {

TEST(Rows, TimesAreShort) {
  EXPECT_EQ(TimeText(380), "380 ns");
  EXPECT_EQ(TimeText(12'345), "12.3 us");
  EXPECT_EQ(TimeText(5'100'000), "5.10 ms");
  EXPECT_EQ(TimeText(1'250'000'000), "1.25 s");
}

TEST(Rows, FactorsAreReadable) {
  EXPECT_EQ(FactorText(0.967), "0.967");
  EXPECT_EQ(FactorText(18.14), "18.1");
  EXPECT_EQ(FactorText(487), "487");
  EXPECT_EQ(FactorText(999.6), "1,000");
  EXPECT_EQ(FactorText(1'413'000), "1,413,000");
  EXPECT_EQ(FactorText(123'456), "123,456");
}

TEST(Rows, RoundsMerge) {
  Row row{"x", {}, {}, {}, 0, ""};
  const auto round = nlohmann::json::parse(
      R"({"wrong": 1, "latency": {"p50_ns": 10, "p99_ns": 20, "buckets": [[10, 3], [20, 1]]}})");
  AddRound({round}, 1, &row);
  AddRound({round}, 1, &row);
  EXPECT_EQ(row.latency_ns.count(), 8u);
  EXPECT_EQ(row.latency_ns.Percentile(50), 10u);
  EXPECT_EQ(row.p99_ns, (std::vector<double>{20, 20}));
  EXPECT_EQ(row.wrong, 2u);
}

TEST(Rows, GuestsOfOneRoundMerge) {
  Row row{"x", {}, {}, {}, 0, ""};
  const auto fast = nlohmann::json::parse(R"({"wrong": 0, "latency": {"buckets": [[10, 300]]}})");
  const auto slow = nlohmann::json::parse(R"({"wrong": 2, "latency": {"buckets": [[100, 100]]}})");
  AddRound({fast, slow}, 2, &row);
  EXPECT_EQ(row.latency_ns.count(), 400u);
  EXPECT_EQ(row.p50_ns, (std::vector<double>{10}));
  EXPECT_EQ(row.p99_ns, (std::vector<double>{100}));
  EXPECT_EQ(row.per_s, (std::vector<double>{200}));
  EXPECT_EQ(row.wrong, 2u);
  const RowGroup group{"seven", {row, row}, 0, true};
  EXPECT_NE(Table(group).find(" 200          1 x\n"), std::string::npos) << Table(group);
}

TEST(Rows, TheTableComparesRoundByRound) {
  RowGroup group{
      "way", {{"ours", {}, {1, 10, 100}, {}, 0, ""}, {"theirs", {}, {5, 60, 700}, {}, 0, ""}}, 0, false};
  group.rows[0].latency_ns.RecordMany(1, 1000);
  group.rows[1].latency_ns.RecordMany(6, 99);
  const std::string table = Table(group);
  EXPECT_NE(table.find(" 6 x\n"), std::string::npos) << table;
  EXPECT_NE(table.find("theirs"), std::string::npos);
  // 99 samples have a median, but no 99th percentile worth the name.
  const std::string theirs = table.substr(table.find("theirs"));
  EXPECT_NE(theirs.find("6 ns"), std::string::npos) << table;
  EXPECT_NE(theirs.find(" - "), std::string::npos) << table;
}

}  // namespace
}  // namespace vgpu::bench
