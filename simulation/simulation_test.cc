// SPDX-License-Identifier: Apache-2.0
// Some seeds, on the product's own objects and on those with crash points: every promise is kept,
// and a seed replays.
#include <gtest/gtest.h>

#include <cstdint>

#include "simulation/world.h"

namespace vgpu::simulation {
namespace {

constexpr uint64_t kSteps = 100'000;

class SimulationTest : public testing::TestWithParam<uint64_t> {};

TEST_P(SimulationTest, EveryPromiseIsKept) {
  const Outcome outcome = Simulate(GetParam(), kSteps);
  EXPECT_EQ(outcome.violation, "") << "seed " << GetParam() << ", step " << outcome.steps;
  EXPECT_GT(outcome.answers, 1000u);
  EXPECT_GT(outcome.lives, 10u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimulationTest, testing::Range(uint64_t{1}, uint64_t{9}));

TEST(SimulationReplayTest, OneSeed_HappensTheSameTwice) {
  const Outcome once = Simulate(77, kSteps / 4);
  const Outcome again = Simulate(77, kSteps / 4);
  EXPECT_EQ(once.hash, again.hash);
  EXPECT_EQ(once.steps, again.steps);
  EXPECT_NE(once.hash, Simulate(78, kSteps / 4).hash);
}

}  // namespace
}  // namespace vgpu::simulation
