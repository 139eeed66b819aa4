// SPDX-License-Identifier: Apache-2.0
#include "ring/event_idx.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace {

// What the formula means, one step at a time: did the count leave `event` behind on its way?
bool Passes(uint32_t event, uint32_t new_idx, uint32_t old_idx) {
  for (uint32_t idx = old_idx; idx != new_idx; ++idx) {
    if (idx == event) return true;
  }
  return false;
}

// Every event around every short way from `first`.
void CompareFrom(uint32_t first) {
  constexpr uint32_t kWindow = 64;
  for (uint32_t length = 0; length < kWindow; ++length) {
    for (uint32_t offset = 0; offset < 3 * kWindow; ++offset) {
      const uint32_t event = first + offset - kWindow;
      ASSERT_EQ(vgpu_need_event(event, first + length, first) != 0, Passes(event, first + length, first))
          << "event " << event << ", from " << first << " by " << length;
    }
  }
}

TEST(EventIdx, AllShortWays_AsStepByStep) {
  for (uint32_t first = 0; first < 256; ++first) CompareFrom(first);
}

TEST(EventIdx, AcrossTheWrap_AsStepByStep) {
  for (uint32_t back = 0; back < 256; ++back) CompareFrom(0u - back);
}

TEST(EventIdx, AcrossTheSignBit_AsStepByStep) {
  for (uint32_t back = 0; back < 256; ++back) CompareFrom(0x80000000u - back);
}

TEST(EventIdx, NoProgress_NobodyIsWoken) {
  for (const uint32_t idx : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    EXPECT_FALSE(vgpu_need_event(idx, idx, idx));
    EXPECT_FALSE(vgpu_need_event(idx - 1, idx, idx));
  }
}

TEST(EventIdx, Disarmed_NobodyIsWokenForHalfAWrap) {
  constexpr uint32_t kIdx = 12345;
  for (const uint32_t progress : {1u, 2u, 4096u, 1u << 31}) {
    EXPECT_FALSE(vgpu_need_event(kIdx - 1, kIdx + progress, kIdx)) << progress;
    EXPECT_TRUE(vgpu_need_event(kIdx, kIdx + progress, kIdx)) << progress;
    EXPECT_TRUE(vgpu_need_event(kIdx + progress - 1, kIdx + progress, kIdx)) << progress;
    EXPECT_FALSE(vgpu_need_event(kIdx + progress, kIdx + progress, kIdx)) << progress;
  }
}

}  // namespace
