// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/forwarding.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/histogram.h"
#include "bench/lib/contest.h"
#include "bench/lib/process.h"

namespace vgpu::bench::socket {
namespace {

TEST(Forwarding, EveryAnswerIsRight) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "two processors are needed";
  ASSERT_TRUE(PinTo(kClientCpu));
  for (const Waiting waiting :
       {Waiting::kAsItWas, Waiting::kBlocking, Waiting::kHandedOn, Waiting::kSpinning}) {
    const auto contestant = MakeForwarding(waiting);
    for (int round = 0; round < 2; ++round) {
      base::Histogram latency_ns;
      const uint64_t count = contestant->share(32);
      EXPECT_EQ(contestant->Run(count, &latency_ns).wrong, 0u) << contestant->name();
      EXPECT_NE(latency_ns.count(), 0u) << contestant->name();
    }
  }
}

}  // namespace
}  // namespace vgpu::bench::socket
