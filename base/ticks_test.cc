// SPDX-License-Identifier: Apache-2.0
#include "base/ticks.h"

#include <gtest/gtest.h>

#include <chrono>

namespace vgpu::base {
namespace {

// The bounds are wide: what is tested is the unit and the direction, on a machine that may be busy.
TEST(Ticks, Difference_IsWithinTheSystemsClock) {
  using Clock = std::chrono::steady_clock;
  const Ticks ticks;
  const auto outer_begin = Clock::now();
  const uint64_t begin = ticks.Now();
  const auto inner_begin = Clock::now();
  auto inner_end = inner_begin;
  while (inner_end - inner_begin < std::chrono::milliseconds(20)) inner_end = Clock::now();
  const uint64_t end = ticks.Now();
  const auto outer_end = Clock::now();
  const auto ns = static_cast<double>(ticks.Ns(end - begin));
  EXPECT_GE(ns, 0.95 * static_cast<double>((inner_end - inner_begin).count()));
  EXPECT_LE(ns, 1.05 * static_cast<double>((outer_end - outer_begin).count()));
}

TEST(Ticks, Backwards_CountsAsZero) {
  const Ticks ticks;
  EXPECT_EQ(ticks.Ns(uint64_t{5} - uint64_t{9}), 0u);
}

}  // namespace
}  // namespace vgpu::base
