// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <gtest/gtest.h>

namespace vgpu::base {
namespace {

TEST(Duration, ThreeDigitsAndTheUnitThatFits) {
  using namespace std::chrono_literals;
  EXPECT_EQ(DurationText(0ns), "0 ns");
  EXPECT_EQ(DurationText(287ns), "287 ns");
  EXPECT_EQ(DurationText(999ns), "999 ns");
  EXPECT_EQ(DurationText(1000ns), "1.00 us");
  EXPECT_EQ(DurationText(1537us), "1.54 ms");
  EXPECT_EQ(DurationText(17'300us), "17.3 ms");
  EXPECT_EQ(DurationText(5'530ms), "5.53 s");
  EXPECT_EQ(DurationText(100s), "100 s");
  EXPECT_EQ(DurationText(123'456s), "123456 s");
}

TEST(Duration, RoundingDoesNotMakeAThousand) {
  EXPECT_EQ(DurationText(999'400), "999 us");
  EXPECT_EQ(DurationText(999'600), "1.00 ms");
  EXPECT_EQ(DurationText(9'996'000), "10.0 ms");
  EXPECT_EQ(DurationText(99'960'000), "100 ms");
}

TEST(Duration, NeverAnExponent) {
  for (double ns = 1; ns < 1e18; ns *= 1.7) EXPECT_EQ(DurationText(ns).find("e+"), std::string::npos) << ns;
}

}  // namespace
}  // namespace vgpu::base
