// SPDX-License-Identifier: Apache-2.0
#include "serve/journal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ring/abi.h"

namespace vgpu::serve {
namespace {

constexpr uint32_t kEntries = 4;

TEST(Journal, WhatOneWrites_AnotherOneReads) {
  vgpu_journal shared{};
  Journal journal(&shared, kEntries);
  journal.Taken(7);
  journal.Started(2, 0x501);
  journal.SetEpoch(vgpu_word(VGPU_EPOCH_OPEN, 5));
  const Journal next(&shared, kEntries);
  EXPECT_EQ(next.cons(), 7u);
  EXPECT_TRUE(next.HasStarted(2, 0x501));
  EXPECT_FALSE(next.HasStarted(2, 0x601)) << "another request in the same slot";
  EXPECT_FALSE(next.HasStarted(1, 0x501));
  EXPECT_EQ(next.epoch_word(), vgpu_word(VGPU_EPOCH_OPEN, 5));
}

TEST(Journal, Answered_HasNotStarted) {
  vgpu_journal shared{};
  Journal journal(&shared, kEntries);
  journal.Started(3, 0x101);
  journal.Answered(3);
  EXPECT_FALSE(journal.HasStarted(3, 0x101));
}

TEST(Journal, NewEpoch_ForgetsTheRequestsOfItsRingOnly) {
  vgpu_journal shared{};
  std::fill_n(shared.started, VGPU_ENTRIES_MAX, 9u);
  Journal journal(&shared, kEntries);
  journal.Taken(3);
  journal.BeginEpoch(5, vgpu_word(VGPU_EPOCH_OPEN, 6));
  EXPECT_EQ(journal.cons(), 0u);
  EXPECT_EQ(journal.epoch_word(), vgpu_word(VGPU_EPOCH_OPEN, 6));
  EXPECT_EQ(std::count(shared.started, shared.started + VGPU_ENTRIES_MAX, 0u), kEntries);
  EXPECT_EQ(shared.started[kEntries], 9u);
}

}  // namespace
}  // namespace vgpu::serve
