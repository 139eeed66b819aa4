// SPDX-License-Identifier: Apache-2.0
#include "operations/table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <type_traits>

#include "api/vector.h"
#include "operations/test_table.h"

namespace vgpu::operations {
namespace {

TEST(Elements, EachTypeHasItsSize_AndNoOtherHasOne) {
  EXPECT_EQ(ElementBytes(VGPU_TYPE_I32), 4u);
  EXPECT_EQ(ElementBytes(VGPU_TYPE_I64), 8u);
  EXPECT_EQ(ElementBytes(VGPU_TYPE_F32), 4u);
  EXPECT_EQ(ElementBytes(VGPU_TYPE_F64), 8u);
  for (uint32_t type = kElementTypes; type < 0x200; ++type) EXPECT_EQ(ElementBytes(type), 0u) << type;
  EXPECT_EQ(ElementBytes(~0u), 0u);
}

TEST(VectorTable, ARowOfTheProduct_HasTheNumbersOfItsTypes) {
  EXPECT_EQ(Vectors::Number<VectorAdd>(VGPU_TYPE_I32), 0u);
  EXPECT_EQ(Vectors::Number<VectorAdd>(VGPU_TYPE_F64), 3u);
  EXPECT_EQ(Vectors::BytesOf(Vectors::Number<VectorAdd>(VGPU_TYPE_I64)), 8u);
  EXPECT_TRUE(Vectors::Has(VGPU_OP_VECTOR_ADD));
  EXPECT_FALSE(Vectors::Has(VGPU_OP_ADD));
}

TEST(VectorTable, AnotherRow_MovesNoOther) {
  for (uint32_t type = 0; type < kElementTypes; ++type) {
    EXPECT_EQ(TestVectors::Number<VectorAdd>(type), Vectors::Number<VectorAdd>(type));
  }
  EXPECT_EQ(TestVectors::Number<TestMultiply>(VGPU_TYPE_I32), kElementTypes);
  EXPECT_EQ(TestVectors::Number<TestNegate>(VGPU_TYPE_F64), 2 * kElementTypes + VGPU_TYPE_F64);
}

TEST(VectorTable, ATypeThatTheRowLacks_HasNoNumberThatExists) {
  EXPECT_EQ(TestVectors::BytesOf(TestVectors::Number<TestMultiply>(VGPU_TYPE_I64)), 8u);
  EXPECT_EQ(TestVectors::BytesOf(TestVectors::Number<TestMultiply>(VGPU_TYPE_F32)), 0u);
  EXPECT_EQ(TestVectors::BytesOf(TestVectors::Number<TestNegate>(VGPU_TYPE_I32)), 0u);
  EXPECT_EQ(TestVectors::BytesOf(TestVectors::kNumbers), 0u);
  EXPECT_EQ(TestVectors::BytesOf(~0u), 0u);
  EXPECT_EQ(ElementBytesOf<TestMultiply>(VGPU_TYPE_F64), 0u);
  EXPECT_EQ(ElementBytesOf<TestMultiply>(kElementTypes), 0u);
  EXPECT_EQ(ElementBytesOf<TestMultiply>(0xff), 0u);
}

TEST(VectorTable, Visit_FindsWhatExists) {
  std::set<uint32_t> numbers;
  TestVectors::VisitAll([&](auto at) {
    using At = decltype(at);
    const uint32_t number = TestVectors::Number<typename At::Row>(At::kType);
    EXPECT_TRUE(numbers.insert(number).second);
    EXPECT_EQ(TestVectors::BytesOf(number), sizeof(typename At::T));
    EXPECT_EQ(std::is_floating_point_v<typename At::T>, At::kType >= VGPU_TYPE_F32);
  });
  EXPECT_EQ(numbers.size(), 4u + 2u + 2u);
  for (uint32_t number = 0; number < TestVectors::kNumbers + 2; ++number) {
    EXPECT_EQ(TestVectors::Visit(number, [](auto) {}), numbers.count(number) != 0) << number;
    EXPECT_EQ(TestVectors::BytesOf(number) != 0, numbers.count(number) != 0) << number;
  }
}

// A GPU answers every small request that it is given by one sum.
template <class Row>
void ExpectSum(uint64_t operands) {
  if (!Row::kSumOnGpu) return;
  const uint32_t sum = static_cast<uint32_t>(operands) + static_cast<uint32_t>(operands >> 32);
  EXPECT_EQ(Row::Answer(operands), sum) << Row::kName << " of " << operands;
}

template <class... Rows>
void ExpectSums(SmallTable<Rows...>, uint64_t operands) {
  (ExpectSum<Rows>(Rows::kHasOperands ? operands : 0), ...);
}

TEST(SmallTable, WhatRunsOnAGpu_IsASum) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 1000; ++i) ExpectSums(SmallOperations(), random());
}

}  // namespace
}  // namespace vgpu::operations
