// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/session_life.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace vgpu::mediator {
namespace {

using enum SessionState;

const std::vector<SessionState> kAll = {kWaiting, kServed, kSuspended, kLeaving, kEnding, kEnded};
// A way to each state.
const std::vector<std::vector<SessionState>> kWays = {{},
                                                      {kServed},
                                                      {kServed, kSuspended},
                                                      {kServed, kLeaving},
                                                      {kServed, kEnding},
                                                      {kServed, kEnding, kEnded}};
const std::set<std::pair<SessionState, SessionState>> kEdges = {
    {kWaiting, kServed},    {kServed, kSuspended}, {kServed, kLeaving},  {kServed, kEnding},
    {kSuspended, kLeaving}, {kSuspended, kEnding}, {kLeaving, kWaiting}, {kEnding, kEnded},
};

SessionLife At(const std::vector<SessionState>& way) {
  SessionLife life;
  for (const SessionState state : way) life.GoTo(state);
  return life;
}

TEST(SessionLifeTest, Edges_TheseAndNoOthers) {
  for (const SessionState from : kAll) {
    for (const SessionState to : kAll) {
      EXPECT_EQ(MayFollow(from, to), kEdges.contains({from, to})) << ToText(from) << " -> " << ToText(to);
    }
  }
}

TEST(SessionLifeDeathTest, EachOtherEdge_EndsTheProgram) {
  for (size_t i = 0; i < kWays.size(); ++i) {
    const SessionLife life = At(kWays[i]);
    ASSERT_EQ(life.state(), kAll[i]);
    for (const SessionState to : kAll) {
      if (kEdges.contains({life.state(), to})) continue;
      EXPECT_DEATH(SessionLife(life).GoTo(to), "MayFollow") << ToText(life.state()) << " -> " << ToText(to);
    }
  }
}

TEST(SessionLifeTest, Signals_OnlyWhileItIsServedOrPrepared) {
  std::set<SessionState> may, suspended;
  for (const auto& way : kWays) {
    const SessionLife life = At(way);
    if (life.may_signal()) may.insert(life.state());
    if (life.suspended()) suspended.insert(life.state());
  }
  EXPECT_EQ(may, (std::set{kWaiting, kServed}));
  EXPECT_EQ(suspended, (std::set{kSuspended, kLeaving}));
}

TEST(SessionLifeTest, Fence_StrongerReasonsReplaceWeakerOnes) {
  SessionLife life = At({kServed});
  EXPECT_FALSE(life.fenced());
  EXPECT_EQ(life.Fence(FenceReason::kSlow), FenceChange::kFenced);
  EXPECT_EQ(life.Fence(FenceReason::kSlow), FenceChange::kNothing);
  EXPECT_EQ(life.Fence(FenceReason::kSlotReused), FenceChange::kNothing);
  EXPECT_EQ(life.Fence(FenceReason::kQuarantined), FenceChange::kStronger);
  EXPECT_EQ(life.Fence(FenceReason::kMemoryLost), FenceChange::kNothing);
  EXPECT_EQ(life.fence(), FenceReason::kQuarantined);
}

TEST(SessionLifeTest, Reset_LiftsWhatAGuestMayMend) {
  for (const auto& [reason, lifted] : {std::pair{FenceReason::kSlotReused, true},
                                       {FenceReason::kSlow, true},
                                       {FenceReason::kMemoryLost, false},
                                       {FenceReason::kQuarantined, false}}) {
    SessionLife life = At({kServed});
    life.Fence(reason);
    EXPECT_EQ(life.LiftFence(), lifted) << ToText(reason);
    EXPECT_EQ(life.fenced(), !lifted) << ToText(reason);
  }
}

TEST(SessionLifeTest, OnItsWay_ItIsNotFencedAnyMore) {
  for (const SessionState state : {kLeaving, kEnding}) {
    SessionLife life = At({kServed, state});
    EXPECT_EQ(life.Fence(FenceReason::kSlow), FenceChange::kNothing) << ToText(state);
    EXPECT_FALSE(life.fenced());
  }
}

}  // namespace
}  // namespace vgpu::mediator
