// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/plan.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "api/vector.h"
#include "engine/engine_abi.h"
#include "mediator/requests/operations.h"

namespace vgpu::mediator {
namespace {

constexpr uint64_t kCopyFrom = 1 << 20;
constexpr int64_t kMs = 1'000'000;

Request Vector(uint8_t type, uint64_t count) {
  Request request{};
  request.op = FindOperation(VGPU_OP_VECTOR_ADD);
  request.type = type;
  request.count = count;
  return request;
}

TEST(Plan, SmallOperands_AreUsedWhereTheyLie) {
  const Plan plan = PlanOnGpu(Vector(VGPU_TYPE_I32, kCopyFrom / 4 - 1), /*throttled=*/false, kCopyFrom);
  EXPECT_EQ(plan.way, PieceWay::kDirect);
  EXPECT_EQ(plan.job_flags, 0u);
  EXPECT_EQ(plan.elements, (1u << 20) / 4);
}

TEST(Plan, LargeOperands_AreCopied) {
  const Plan plan = PlanOnGpu(Vector(VGPU_TYPE_I32, kCopyFrom / 4), /*throttled=*/false, kCopyFrom);
  EXPECT_EQ(plan.way, PieceWay::kCopied);
  EXPECT_EQ(plan.job_flags, engine::kJobCopies);
  EXPECT_EQ(plan.elements, engine::kCopyBytesMax / 4);
}

TEST(Plan, Throttled_SmallPiecesThatLeaveTheBus_WhateverTheirSize) {
  for (const uint64_t count : {uint64_t{1}, kCopyFrom}) {
    const Plan plan = PlanOnGpu(Vector(VGPU_TYPE_F32, count), /*throttled=*/true, kCopyFrom);
    EXPECT_EQ(plan.way, PieceWay::kThrottled);
    EXPECT_EQ(plan.job_flags, engine::kJobThrottled);
    EXPECT_EQ(plan.elements, (128u << 10) / 4);
  }
}

TEST(Plan, WideElements_AreHalfAsMany) {
  for (const bool throttled : {false, true}) {
    for (const uint64_t count : {uint64_t{16}, kCopyFrom}) {
      const Plan narrow = PlanOnGpu(Vector(VGPU_TYPE_F32, 2 * count), throttled, kCopyFrom);
      const Plan wide = PlanOnGpu(Vector(VGPU_TYPE_F64, count), throttled, kCopyFrom);
      EXPECT_EQ(narrow.way, wide.way);
      EXPECT_EQ(narrow.elements, 2 * wide.elements);
    }
  }
}

// ---- who is throttled ----

TEST(Throttle, NoAdds_Nobody) {
  const Throttle throttle;
  for (uint32_t priority = 0; priority < kPriorities; ++priority)
    EXPECT_FALSE(throttle.Throttles(priority, 1));
}

TEST(Throttle, AfterAnAdd_LowerClassesForAMillisecond) {
  Throttle throttle;
  throttle.AddCame(1, 5 * kMs);
  EXPECT_TRUE(throttle.Throttles(0, 5 * kMs));
  EXPECT_TRUE(throttle.Throttles(0, 6 * kMs - 1));
  EXPECT_FALSE(throttle.Throttles(0, 6 * kMs));
  EXPECT_FALSE(throttle.Throttles(1, 5 * kMs)) << "not its own class";
  EXPECT_FALSE(throttle.Throttles(2, 5 * kMs)) << "nor a higher one";
}

TEST(Throttle, AnyHigherClassCounts_ByItsLastAdd) {
  Throttle throttle;
  throttle.AddCame(1, 5 * kMs);
  throttle.AddCame(2, 7 * kMs);
  EXPECT_TRUE(throttle.Throttles(0, 7 * kMs));
  EXPECT_TRUE(throttle.Throttles(1, 7 * kMs));
  throttle.AddCame(1, 9 * kMs);
  EXPECT_FALSE(throttle.Throttles(1, 9 * kMs));
  EXPECT_TRUE(throttle.Throttles(0, 9 * kMs));
}

}  // namespace
}  // namespace vgpu::mediator
