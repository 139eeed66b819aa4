// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/admission.h"

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

// ---- admission ----

TEST(Admission, FloodOfConnections_BoundedAtOnceAndPerSecond) {
  Admission admission;
  EXPECT_EQ(CountOf(10'000, [&] { return admission.MayConnect(kPeer, kStart); }),
            Admission::kConnectionsAtOnce);
  EXPECT_NEAR(CountOf(10'000, [&] { return admission.MayConnect(kPeer, kStart + kSecond); }),
              Admission::kConnectionsPerSecond, 1);
}

TEST(Admission, FloodOfOnePeer_AnotherIsLetIn) {
  Admission admission;
  while (admission.MayConnect(kPeer, kStart)) {}
  EXPECT_TRUE(admission.MayConnect(kOther, kStart));
  EXPECT_TRUE(admission.MayConnect({kPeer.uid + 1, kPeer.pid}, kStart));
  EXPECT_EQ(admission.AttachAt(kPeer, kStart), 0) << "attaches have a measure of their own";
}

TEST(Admission, FloodOfAttaches_EachHearsWhenToAskAgain) {
  Admission admission;
  EXPECT_EQ(CountOf(10'000, [&] { return admission.AttachAt(kPeer, kStart) == 0; }),
            Admission::kAttachesAtOnce);
  const int64_t at = admission.AttachAt(kPeer, kStart);
  EXPECT_GT(at, kStart);
  EXPECT_LE(at, kStart + kSecond);
  EXPECT_EQ(admission.AttachAt(kOther, kStart), 0);
  EXPECT_NE(admission.AttachAt(kPeer, at - kSecond / 100), 0);
  EXPECT_EQ(admission.AttachAt(kPeer, at + 1000), 0) << "the time that it was told";
}

// ---- memory ----

TEST(Admission, ManyPeersThatRest_AreForgotten) {
  Admission admission;
  int64_t now = kStart;
  for (pid_t pid = 1; pid <= 100'000; ++pid) {
    EXPECT_TRUE(admission.MayConnect({0, pid}, now));
    now += kSecond / 1000;
  }
  EXPECT_LE(admission.peers_known(), 5000u);
}

// So many others within a second that some must be forgotten: those that have rested, and not the one that
// has not.
TEST(Admission, PeerThatDoesNotRest_IsNotForgottenAmongMany) {
  Admission admission;
  while (admission.MayConnect(kPeer, kStart)) {}
  for (pid_t i = 0; i < 10'000; ++i) admission.MayConnect({0, 1000 + i}, kStart + i * (kSecond / 10'000));
  EXPECT_LE(admission.peers_known(), 5000u);
  EXPECT_NEAR(CountOf(10'000, [&] { return admission.MayConnect(kPeer, kStart + kSecond); }),
              Admission::kConnectionsPerSecond, 1);
}

}  // namespace
}  // namespace vgpu::mediator
