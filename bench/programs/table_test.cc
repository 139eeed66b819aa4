// SPDX-License-Identifier: Apache-2.0
#include "bench/programs/table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace vgpu::bench {
namespace {

void ExpectUniqueNames(const std::vector<Measurement>& measurements) {
  EXPECT_FALSE(measurements.empty());
  std::set<std::string> names;
  for (const Measurement& measurement : measurements) {
    EXPECT_TRUE(names.insert(measurement.name).second) << measurement.name;
  }
}

std::set<std::string> AllGates() {
  std::set<std::string> gates;
  for (const Measurement& measurement : AllMeasurements()) {
    for (const std::string& gate : measurement.gates) EXPECT_TRUE(gates.insert(gate).second) << gate;
  }
  return gates;
}

TEST(Table, NamesOfAProgramAreUnique) {
  ExpectUniqueNames(MeasurementsOf(Group::kRing));
  ExpectUniqueNames(MeasurementsOf(Group::kLatency));
  ExpectUniqueNames(MeasurementsWithGates());
}

TEST(Table, WhatHasGatesHasANameForThem) {
  for (const Measurement& measurement : AllMeasurements()) {
    EXPECT_EQ(measurement.gates.empty(), measurement.gates_name.empty()) << measurement.name;
  }
}

// Of the results that are kept, each figure with a gate belongs to a row.
TEST(Table, KnowsTheGatesOfKeptResults) {
  const std::set<std::string> gates = AllGates();
  for (const char* name : {"gates-2cpu-2026-11-23", "h100-2026-11-22"}) {
    std::ifstream file(std::string("bench/results/") + name + ".json");
    ASSERT_TRUE(file.good()) << name;
    const nlohmann::json result = nlohmann::json::parse(file);
    for (const nlohmann::json& figure : result.at("figures")) {
      if (figure.at("gate").is_null()) continue;
      EXPECT_EQ(gates.count(figure.at("name").get<std::string>()), 1u) << figure.at("name");
    }
  }
}

}  // namespace
}  // namespace vgpu::bench
