// SPDX-License-Identifier: Apache-2.0
// ping and vadd: what they count, against mediators that answer well and badly.
#include <gtest/gtest.h>

#include <memory>

#include "api/codes.h"
#include "api/vector.h"
#include "guest/cli.h"
#include "guest/ping.h"
#include "guest/vadd.h"
#include "tests/support/fake_transport.h"

namespace vgpu::guest {
namespace {

class LoadTest : public testing::Test {
 protected:
  void Open(Manner manner) {
    transport_ = std::make_shared<FakeTransport>(FakeOptions{});
    mediator_ = std::make_unique<FakeMediator>(transport_.get(), 0, Manner::kGood);
    auto client = Client::Open(transport_, 0, Clock::now() + std::chrono::seconds(20));
    ASSERT_TRUE(client) << client.error().text;
    client_ = std::move(*client);
    mediator_->SetManner(manner);
  }

  static PingPlan Plan(uint64_t count, uint32_t depth) {
    return {count, depth, {}, std::chrono::seconds(20), 1, {}};
  }

  std::shared_ptr<FakeTransport> transport_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<FakeMediator> mediator_;
};

TEST_F(LoadTest, Ping_CountsEveryAnswer) {
  Open(Manner::kGood);
  for (const uint32_t depth : {1u, 3u, 8u}) {
    auto result = Ping(*client_, Plan(1000, depth));
    ASSERT_TRUE(result) << result.error().text;
    EXPECT_EQ(result->latency_ns.count(), 1000u);
    EXPECT_EQ(result->wrong, 0u);
    EXPECT_GT(result->rate(), 0);
  }
}

TEST_F(LoadTest, Ping_StopsWhenItsTimeIsOver) {
  Open(Manner::kGood);
  PingPlan plan = Plan(uint64_t{1} << 40, 8);
  plan.time_max = std::chrono::milliseconds(20);
  auto result = Ping(*client_, plan);
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_GT(result->latency_ns.count(), 0u);
  EXPECT_GE(result->seconds, 0.02);
  EXPECT_EQ(result->wrong, 0u);
  result = Ping(*client_, Plan(10, 8));  // nothing was left behind
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->latency_ns.count(), 10u);
}

TEST_F(LoadTest, Ping_AnswersOutOfOrder_AreNotMistakenForWrong) {
  Open(Manner::kBackwards);
  auto result = Ping(*client_, Plan(1000, 8));
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->wrong, 0u);
}

TEST_F(LoadTest, Ping_WrongSums_AreCounted) {
  Open(Manner::kWrong);
  auto result = Ping(*client_, Plan(50, 4));
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->wrong, 50u);
}

TEST_F(LoadTest, Ping_RefusalOrSilence_EndsIt) {
  Open(Manner::kRefuses);
  auto result = Ping(*client_, Plan(50, 4));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, VGPU_ERR_UNSUPPORTED);
  mediator_->SetManner(Manner::kSilent);
  PingPlan plan = Plan(50, 1);
  plan.timeout = std::chrono::milliseconds(20);
  result = Ping(*client_, plan);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, VGPU_ERR_TIMEOUT);
}

TEST_F(LoadTest, Ping_ImpossibleDepth) {
  Open(Manner::kGood);
  EXPECT_EQ(Ping(*client_, Plan(1, 9)).error().code, VGPU_ERR_BAD_ARGUMENT);
  EXPECT_EQ(Ping(*client_, Plan(1, 0)).error().code, VGPU_ERR_BAD_ARGUMENT);
}

TEST_F(LoadTest, Vadd_InPiecesOfTheMediatorsLimit) {
  Open(Manner::kGood);  // its limit is 100 elements
  for (const bool in_place : {false, true}) {
    auto result = Vadd(*client_, {1001, VGPU_TYPE_I32, in_place, std::chrono::seconds(20), 1});
    ASSERT_TRUE(result) << result.error().text;
    EXPECT_EQ(result->requests, 11u);
    EXPECT_EQ(result->wrong, 0u);
    EXPECT_EQ(client_->arena_largest(), client_->arena_bytes());
  }
}

TEST_F(LoadTest, Vadd_WrongElements_AreCounted) {
  Open(Manner::kWrong);
  auto result = Vadd(*client_, {250, VGPU_TYPE_I32, false, std::chrono::seconds(20), 1});
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->requests, 3u);
  EXPECT_EQ(result->wrong, 3u) << "one of each request";
}

TEST_F(LoadTest, Vadd_Refused_SaysSo) {
  Open(Manner::kGood);
  // The fake mediator knows i32 only.
  auto result = Vadd(*client_, {10, VGPU_TYPE_F64, false, std::chrono::seconds(20), 1});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, VGPU_ERR_UNSUPPORTED);
}

TEST(ExitCode, FollowsTheError) {
  EXPECT_EQ(ExitCodeOf(VGPU_OK), 0);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_UNSUPPORTED), 1);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_RING_BUSY), 1);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_BAD_ARGUMENT), 2);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_NO_DEVICE), 3);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_NO_PERMISSION), 3);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_UNAVAILABLE), 3);
  EXPECT_EQ(ExitCodeOf(VGPU_ERR_TIMEOUT), 4);
}

TEST(WrappingSum, WrapsLikeTwosComplement) {
  EXPECT_EQ(WrappingSum(INT32_MAX, 1), INT32_MIN);
  EXPECT_EQ(WrappingSum(INT32_MIN, -1), INT32_MAX);
  EXPECT_EQ(WrappingSum(-5, 3), -2);
}

}  // namespace
}  // namespace vgpu::guest
