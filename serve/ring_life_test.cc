// SPDX-License-Identifier: Apache-2.0
#include "serve/ring_life.h"

#include <gtest/gtest.h>

#include <string>

#include "api/codes.h"
#include "ring/abi.h"
#include "ring/epoch.h"
#include "serve/test_ring.h"

namespace vgpu::serve {
namespace {

using enum RingState;

class RingLifeTest : public testing::Test {
 protected:
  // Carries out what was asked for, slot by slot.
  void Finish(RingLife* life) {
    if (life->due()) life->BeginDue();
    while (life->in_progress() && !life->Step(1)) {}
  }
  void Open(RingLife* life) {
    ring_.Ask(true);
    ASSERT_TRUE(life->CheckEpoch());
    Finish(life);
    ASSERT_EQ(life->state(), kOpen);
  }

  TestRing ring_;
  SlotState states_[TestRing::kEntries] = {};
  RingLife life_{ring_.ref(), ring_.journal(), /*one_epoch=*/false, {states_, sizeof(SlotState)}};
  RingLife window_{ring_.ref(), ring_.journal(), /*one_epoch=*/true, {states_, sizeof(SlotState)}};
};

TEST_F(RingLifeTest, Fresh_IsClosedAndNothingIsDue) {
  EXPECT_EQ(life_.state(), kClosed);
  EXPECT_FALSE(life_.due());
  EXPECT_FALSE(life_.CheckEpoch());
}

TEST_F(RingLifeTest, Epoch_AskedFor_IsAnsweredOnceAllSlotsAreCleared) {
  ring_.Ask(true);
  EXPECT_TRUE(life_.CheckEpoch());
  EXPECT_TRUE(life_.epoch_pending());
  EXPECT_FALSE(life_.CheckEpoch()) << "the same request";
  life_.BeginDue();
  EXPECT_EQ(life_.state(), kClearing);
  EXPECT_TRUE(life_.epoch_pending());
  EXPECT_FALSE(life_.Step(TestRing::kEntries - 1));
  EXPECT_FALSE(ring_.Answered(VGPU_EPOCH_OPEN));
  EXPECT_TRUE(life_.Step(TestRing::kEntries));
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_OPEN));
  EXPECT_EQ(life_.state(), kOpen);
  EXPECT_FALSE(life_.epoch_pending());
}

TEST_F(RingLifeTest, Epoch_ThatNoTagCanHave_IsIgnored) {
  TestRing::Memory::StoreRelease(ring_.ref().epoch_req, vgpu_word(VGPU_EPOCH_OPEN, 0x100));
  EXPECT_FALSE(life_.CheckEpoch());
  EXPECT_FALSE(life_.due());
}

TEST_F(RingLifeTest, AnotherEpoch_AskedForMeanwhile_IsNextAndTheFirstNeverOpen) {
  ring_.Ask(true);
  life_.CheckEpoch();
  life_.BeginDue();
  life_.RequestClose();  // a reset, while slots are cleared
  EXPECT_FALSE(life_.due()) << "first what is in progress";
  while (!life_.Step(1)) {}
  EXPECT_EQ(life_.state(), kClosed);
  ASSERT_TRUE(life_.due());
  Finish(&life_);
  EXPECT_EQ(life_.state(), kClosed);
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_CLOSED));
}

TEST_F(RingLifeTest, Fence_EndsWithAnAnswerAndNoOtherEpochUntilReset) {
  Open(&life_);
  life_.RequestFence();
  EXPECT_TRUE(life_.fence_asked());
  Finish(&life_);
  EXPECT_EQ(life_.state(), kFenced);
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_FENCED));
  ring_.Ask(true);
  EXPECT_FALSE(life_.CheckEpoch());
  life_.RequestClose();
  Finish(&life_);
  EXPECT_EQ(life_.state(), kClosed);
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_CLOSED));
  Open(&life_);
}

TEST_F(RingLifeTest, Fence_WhileSlotsAreCleared_AnswersTheNewEpoch) {
  Open(&life_);
  ring_.Ask(true);
  life_.CheckEpoch();
  life_.BeginDue();
  life_.RequestFence();
  Finish(&life_);
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_FENCED));
}

TEST_F(RingLifeTest, Reset_OverridesAFenceThatIsDue) {
  Open(&life_);
  life_.RequestFence();
  life_.RequestClose();
  EXPECT_FALSE(life_.fence_asked());
  Finish(&life_);
  EXPECT_TRUE(ring_.Answered(VGPU_EPOCH_CLOSED));
}

TEST_F(RingLifeTest, WindowRing_FenceLifted_GoesOnInItsEpoch) {
  Open(&window_);
  const uint32_t epoch = window_.epoch();
  window_.RequestFence();
  Finish(&window_);
  window_.LiftFence();
  EXPECT_EQ(window_.state(), kOpen);
  EXPECT_EQ(ring_.ack(), vgpu_word(VGPU_EPOCH_OPEN, epoch));
}

TEST_F(RingLifeTest, WindowRing_FenceThatHasNotBegun_IsForgotten) {
  Open(&window_);
  window_.RequestFence();
  window_.LiftFence();
  EXPECT_FALSE(window_.due());
  EXPECT_EQ(window_.state(), kOpen);
}

TEST_F(RingLifeTest, Abandoned_NothingIsDue) {
  ring_.Ask(true);
  life_.CheckEpoch();
  life_.BeginDue();
  life_.Abandon();
  EXPECT_FALSE(life_.in_progress());
  EXPECT_FALSE(life_.due());
}

// The whole table: what is not in it ends the process.
TEST(RingStates, Edges) {
  const RingState all[] = {kClosed, kOpen, kClearing, kFencing, kFenced};
  const std::string legal[] = {
      // to: closed, open, clearing, fencing, fenced
      "xxxxx",  // from closed
      "x..x.",  // open
      "xx.x.",  // clearing
      "xx..x",  // fencing
      "xx...",  // fenced
  };
  for (size_t from = 0; from < 5; ++from) {
    for (size_t to = 0; to < 5; ++to) {
      EXPECT_EQ(MayFollow(all[from], all[to]), legal[from][to] == 'x') << from << " -> " << to;
    }
  }
}

using RingLifeDeathTest = RingLifeTest;

TEST_F(RingLifeDeathTest, NothingDue_CannotBegin) { EXPECT_DEATH(life_.BeginDue(), "due"); }
TEST_F(RingLifeDeathTest, NothingInProgress_CannotGoOn) { EXPECT_DEATH(life_.Step(1), "in_progress"); }
TEST_F(RingLifeDeathTest, GuestsRing_FenceCannotBeLifted) { EXPECT_DEATH(life_.LiftFence(), "one_epoch"); }

}  // namespace
}  // namespace vgpu::serve
