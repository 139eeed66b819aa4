// SPDX-License-Identifier: Apache-2.0
// The loops of the CPU against plain code: of the product's table, and of one with rows of the tests' own.
#include "operations/cpu.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "api/vector.h"
#include "operations/cpu_loops.h"
#include "operations/plain.h"
#include "operations/table.h"
#include "operations/test_table.h"

namespace vgpu::operations {
namespace {

constexpr uint64_t kPlaces = 4096;  // bytes from one operand to the next
constexpr uint64_t kBytes = 3 * kPlaces;

// No float in it is a NaN.
std::vector<char> Pattern() {
  std::vector<char> bytes(kBytes);
  for (uint64_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<char>(i * 37 % 61);
  return bytes;
}

// `compute(number, a, b, c, begin, end)` must do as plain code does, for every number of the table: whole
// lines far from the end, whole lines near it, and what is left; also in place. Nothing else changes.
template <class Table, class Compute>
void ExpectPlain(Compute compute) {
  Table::VisitAll([&](auto at) {
    using At = decltype(at);
    using T = typename At::T;
    const uint32_t number = Table::template Number<typename At::Row>(At::kType);
    for (uint64_t count = 1; count < 200; ++count) {
      std::vector<char> memory = Pattern();
      std::vector<char> expected = memory;
      const uint64_t off_c = count % 3 * kPlaces;  // a, b, or neither
      const auto expected_at = [&](uint64_t off) { return reinterpret_cast<T*>(expected.data() + off) + 1; };
      ComputePlainly<typename At::Row>(expected_at(0), expected_at(kPlaces), expected_at(off_c), count - 1);
      char* const a = memory.data();
      compute(number, a, a + kPlaces, a + off_c, 1, count);
      ASSERT_EQ(std::memcmp(memory.data(), expected.data(), kBytes), 0)
          << At::Row::kName << " of type " << At::kType << ", count " << count;
    }
  });
}

template <class Way, class Table>
void ExpectPlainLoops() {
  ExpectPlain<Table>([](uint32_t number, const char* a, const char* b, char* c, uint64_t begin,
                        uint64_t end) { kLoops<Way, Table>[number](a, b, c, begin, end); });
}

TEST(Cpu, Compute_IsPlainCode) { ExpectPlain<Vectors>(&Compute); }

TEST(CpuLoops, Baseline_IsPlainCode) {
  ExpectPlainLoops<Baseline, Vectors>();
  ExpectPlainLoops<Baseline, TestVectors>();
}

#if defined(__x86_64__)
TEST(CpuLoops, Avx2_IsPlainCode) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this processor has no AVX2";
  ExpectPlainLoops<Avx2, Vectors>();
  ExpectPlainLoops<Avx2, TestVectors>();
}
#endif

TEST(CpuLoops, OfATypeThatTheRowLacks_ThereIsNone) {
  for (uint32_t number = 0; number < TestVectors::kNumbers; ++number) {
    EXPECT_EQ((kLoops<Baseline, TestVectors>[number] != nullptr), TestVectors::BytesOf(number) != 0)
        << number;
  }
}

// By numbers that nobody has computed here.
TEST(Cpu, VectorAdd_WrapsAndRounds) {
  const uint32_t x[] = {0xffffffff, 0x80000000, 1}, y[] = {1, 0x80000000, 2};
  uint32_t z[3];
  const auto bytes = [](const auto* vector) { return reinterpret_cast<const char*>(vector); };
  Compute(Vectors::Number<VectorAdd>(VGPU_TYPE_I32), bytes(x), bytes(y), reinterpret_cast<char*>(z), 0, 3);
  EXPECT_EQ(z[0], 0u);
  EXPECT_EQ(z[1], 0u);
  EXPECT_EQ(z[2], 3u);
  const float small = std::numeric_limits<float>::denorm_min();
  const float u[] = {16777216.0f, small, 0.5f}, v[] = {1.0f, small, 0.25f};
  float w[3];
  Compute(Vectors::Number<VectorAdd>(VGPU_TYPE_F32), bytes(u), bytes(v), reinterpret_cast<char*>(w), 0, 3);
  EXPECT_EQ(w[0], 16777216.0f);  // halfway: to even
  EXPECT_EQ(w[1], 2 * small);
  EXPECT_EQ(w[2], 0.75f);
}

}  // namespace
}  // namespace vgpu::operations
