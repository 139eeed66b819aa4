// SPDX-License-Identifier: Apache-2.0
#include "mediator/door.h"

#include <gtest/gtest.h>

namespace vgpu::mediator {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 17 * kSecond;
constexpr PeerId kPeer{1000, 42};
constexpr PeerId kOther{1000, 43};

// How many of `tries` are let in.
template <class Try>
int CountOf(int tries, Try may) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += may() ? 1 : 0;
  return count;
}

TEST(TokenBucket, FullAtFirst_ThenOneForEachToken) {
  TokenBucket bucket(10, 5);
  EXPECT_EQ(CountOf(100, [&] { return bucket.TryTake(kStart); }), 5);
  EXPECT_FALSE(bucket.TryTake(kStart + kSecond / 10 - 1000));
  EXPECT_TRUE(bucket.TryTake(kStart + kSecond / 10 + 1000));
  EXPECT_FALSE(bucket.TryTake(kStart + kSecond / 10 + 1000));
}

TEST(TokenBucket, LongRest_NoMoreThanFull) {
  TokenBucket bucket(10, 5);
  EXPECT_TRUE(bucket.TryTake(kStart));
  EXPECT_FALSE(bucket.full(kStart));
  EXPECT_TRUE(bucket.full(kStart + kSecond));
  EXPECT_EQ(CountOf(100, [&] { return bucket.TryTake(kStart + 1000 * kSecond); }), 5);
}

TEST(TokenBucket, NextNs_IsWhenOneIsThere) {
  TokenBucket bucket(10, 1);
  EXPECT_EQ(bucket.NextNs(kStart), kStart);
  EXPECT_TRUE(bucket.TryTake(kStart));
  const int64_t next = bucket.NextNs(kStart);
  EXPECT_NEAR(static_cast<double>(next - kStart), 1e8, 1e3);
  EXPECT_FALSE(bucket.TryTake(next - 1000));
  EXPECT_TRUE(bucket.TryTake(next + 1000));
}

TEST(TokenBucket, TimeThatGoesBack_GivesNothing) {
  TokenBucket bucket(10, 2);
  EXPECT_EQ(CountOf(5, [&] { return bucket.TryTake(kStart); }), 2);
  EXPECT_FALSE(bucket.TryTake(kStart - 5 * kSecond));
  EXPECT_FALSE(bucket.TryTake(kStart - 5 * kSecond));
}

// ---- the door ----

TEST(Door, FloodOfConnections_BoundedAtOnceAndPerSecond) {
  Door door;
  EXPECT_EQ(CountOf(10'000, [&] { return door.MayConnect(kPeer, kStart); }), Door::kConnectionsAtOnce);
  EXPECT_NEAR(CountOf(10'000, [&] { return door.MayConnect(kPeer, kStart + kSecond); }), Door::kConnectionsPerSecond, 1);
}

TEST(Door, FloodOfOnePeer_AnotherIsLetIn) {
  Door door;
  while (door.MayConnect(kPeer, kStart)) {
  }
  EXPECT_TRUE(door.MayConnect(kOther, kStart));
  EXPECT_TRUE(door.MayConnect({kPeer.uid + 1, kPeer.pid}, kStart));
  EXPECT_EQ(door.AttachAt(kPeer, kStart), 0) << "attaches have a measure of their own";
}

TEST(Door, FloodOfAttaches_EachHearsWhenToAskAgain) {
  Door door;
  EXPECT_EQ(CountOf(10'000, [&] { return door.AttachAt(kPeer, kStart) == 0; }), Door::kAttachesAtOnce);
  const int64_t at = door.AttachAt(kPeer, kStart);
  EXPECT_GT(at, kStart);
  EXPECT_LE(at, kStart + kSecond);
  EXPECT_EQ(door.AttachAt(kOther, kStart), 0);
  EXPECT_NE(door.AttachAt(kPeer, at - kSecond / 100), 0);
  EXPECT_EQ(door.AttachAt(kPeer, at + 1000), 0) << "the time that it was told";
}

// ---- memory ----

TEST(Door, ManyPeersThatRest_AreForgotten) {
  Door door;
  int64_t now = kStart;
  for (pid_t pid = 1; pid <= 100'000; ++pid) {
    EXPECT_TRUE(door.MayConnect({0, pid}, now));
    now += kSecond / 1000;
  }
  EXPECT_LE(door.peers_known(), 5000u);
}

// So many others within a second that some must be forgotten: those that have rested, and not the one that has not.
TEST(Door, PeerThatDoesNotRest_IsNotForgottenAmongMany) {
  Door door;
  while (door.MayConnect(kPeer, kStart)) {
  }
  for (pid_t i = 0; i < 10'000; ++i) door.MayConnect({0, 1000 + i}, kStart + i * (kSecond / 10'000));
  EXPECT_LE(door.peers_known(), 5000u);
  EXPECT_NEAR(CountOf(10'000, [&] { return door.MayConnect(kPeer, kStart + kSecond); }), Door::kConnectionsPerSecond, 1);
}

}  // namespace
}  // namespace vgpu::mediator
