// SPDX-License-Identifier: Apache-2.0
// Operations of the tests' own as jobs of a GPU, by the code that the driver for tests has: rows are enough.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "api/vector.h"
#include "gpu/batch_abi.h"
#include "gpu/fake/vector_jobs.h"
#include "operations/table.h"
#include "operations/test_table.h"

namespace vgpu::operations {
namespace {

// Everything may be used.
gpu::CuResult Allow(uint64_t, uint64_t, uint64_t) { return gpu::kCuSuccess; }

template <class T>
struct Memory {
  std::array<T, 3> a;
  std::array<T, 3> b;
  std::array<T, 3> c{};

  VgpuJob Job(uint32_t number) {
    VgpuJob job{};
    job.kind = VGPU_JOB_VECTORS + number;
    job.a = reinterpret_cast<uint64_t>(a.data());
    job.b = reinterpret_cast<uint64_t>(b.data());
    job.c = reinterpret_cast<uint64_t>(c.data());
    job.count = a.size();
    return job;
  }
};

TEST(AnotherOperation, OnAGpu_ComputesWhatItsRowSays) {
  gpu::CuResult result = -1;
  Memory<uint64_t> integers{{2, 3, uint64_t{1} << 63}, {5, 7, 2}};
  const VgpuJob multiply = integers.Job(TestVectors::Number<TestMultiply>(VGPU_TYPE_I64));
  EXPECT_TRUE(gpu::fake::RunVectorJob<TestVectors>(multiply, Allow, &result));
  EXPECT_EQ(result, gpu::kCuSuccess);
  EXPECT_EQ(integers.c, (std::array<uint64_t, 3>{10, 21, 0}));
  Memory<float> floats{{1, -2, 0.5f}, {}};
  const VgpuJob negate = floats.Job(TestVectors::Number<TestNegate>(VGPU_TYPE_F32));
  EXPECT_TRUE(gpu::fake::RunVectorJob<TestVectors>(negate, Allow, &result));
  EXPECT_EQ(floats.c, (std::array<float, 3>{-1, 2, -0.5f}));
}

TEST(AnotherOperation, OfTheProductsTable_IsNone) {
  gpu::CuResult result = gpu::kCuSuccess;
  Memory<uint32_t> memory{{1, 2, 3}, {4, 5, 6}};
  const uint32_t number = TestVectors::Number<TestMultiply>(VGPU_TYPE_I32);
  EXPECT_FALSE(gpu::fake::RunVectorJob<Vectors>(memory.Job(number), Allow, &result));
  EXPECT_EQ(memory.c, (std::array<uint32_t, 3>{}));
}

TEST(AnotherOperation, OfATypeThatItsRowLacks_IsNone) {
  gpu::CuResult result = gpu::kCuSuccess;
  Memory<float> memory{{1, 2, 3}, {4, 5, 6}};
  const uint32_t number = TestVectors::Number<TestMultiply>(VGPU_TYPE_F32);
  EXPECT_FALSE(gpu::fake::RunVectorJob<TestVectors>(memory.Job(number), Allow, &result));
  EXPECT_EQ(memory.c, (std::array<float, 3>{}));
}

TEST(AnotherOperation, OperandsThatADeviceMayNotUse_AreNotTouched) {
  constexpr gpu::CuResult kError = 700;
  gpu::CuResult result = gpu::kCuSuccess;
  Memory<uint32_t> memory{{1, 2, 3}, {4, 5, 6}};
  const auto forbid = [](uint64_t, uint64_t count, uint64_t element) {
    EXPECT_EQ(count, 3u);
    EXPECT_EQ(element, 4u);
    return kError;
  };
  const uint32_t number = TestVectors::Number<TestMultiply>(VGPU_TYPE_I32);
  EXPECT_TRUE(gpu::fake::RunVectorJob<TestVectors>(memory.Job(number), forbid, &result));
  EXPECT_EQ(result, kError);
  EXPECT_EQ(memory.c, (std::array<uint32_t, 3>{}));
}

}  // namespace
}  // namespace vgpu::operations
