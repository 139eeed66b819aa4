// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/vector_way.h"

#include <gtest/gtest.h>

namespace vgpu::bench {
namespace {

enum class Fault : uint8_t { kNone, kOneElement, kNothingDone, kLateHalf };

class HereWay final : public VectorWay {
 public:
  explicit HereWay(Fault fault) : fault_(fault) {}

  void Add(const VectorMemory& m) override {
    ++adds_;
    if (fault_ == Fault::kNothingDone && adds_ > 1) return;  // an earlier answer
    const uint64_t count = fault_ == Fault::kLateHalf && adds_ > 1 ? m.count / 2 : m.count;
    for (uint64_t i = 0; i < count; ++i) m.c[i] = m.a[i] + m.b[i];
    if (fault_ == Fault::kOneElement) m.c[m.count - 1] ^= 0x80000000;
  }
  void Before() override { ++befores; }
  void After() override { ++afters; }

  int befores = 0;
  int afters = 0;

 private:
  const Fault fault_;
  int adds_ = 0;
};

RunResult RunWith(Fault fault) {
  HereWay way(fault);
  return RunVectors(way, {1000, 5, 2, 0, 3});
}

TEST(RunVectors, CountsWhatWasTimed) {
  HereWay way(Fault::kNone);
  const RunResult result = RunVectors(way, {1000, 5, 2, 0, 3});
  EXPECT_EQ(result.latency_ns.count(), 5u);
  EXPECT_EQ(result.wrong, 0u);
  EXPECT_EQ(way.befores, 7);
  EXPECT_EQ(way.afters, 7);
}

TEST(RunVectors, SeesEveryWrongAnswer) {
  EXPECT_EQ(RunWith(Fault::kOneElement).wrong, 7u);
  EXPECT_EQ(RunWith(Fault::kNothingDone).wrong, 6u);
  EXPECT_EQ(RunWith(Fault::kLateHalf).wrong, 6u);
}

TEST(RunVectors, IsWrittenAsArguments) {
  EXPECT_EQ(OptionsOf({0, 5, 2, 0, 3}), "--count 5 --warm-up 2 --seed 3");
  EXPECT_EQ(OptionsOf({1024, 1, 0, 1.5, 1}), "--count 1 --warm-up 0 --seed 1 --elements 1024 --seconds 1.5");
}

TEST(RunVectors, StopsWhenItsTimeIsOver) {
  HereWay way(Fault::kNone);
  const RunResult result = RunVectors(way, {1, uint64_t{1} << 40, 0, 0.01, 1});
  EXPECT_GT(result.latency_ns.count(), 0u);
  EXPECT_GE(result.seconds, 0.01);
}

}  // namespace
}  // namespace vgpu::bench
