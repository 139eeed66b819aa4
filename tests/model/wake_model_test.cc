// SPDX-License-Identifier: Apache-2.0
// Model check of publish, answer and the wake protocol: nobody sleeps for ever, every answer is right and its
// results in the arena are visible; and a version with any one ordering left out fails.
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>

#include "api/codes.h"
#include "api/vector.h"
#include "ring/consumer.h"
#include "ring/producer.h"
#include "tests/model/explore.h"
#include "tests/model/model_memory.h"

namespace vgpu::model {
namespace {

constexpr uint32_t kEpoch = 7;
constexpr uint32_t kFirstIdx = 0xffffffffu;  // wraps after one request

// What a scenario does.
struct Plan {
  uint32_t entries_log2;
  uint32_t requests;
  uint32_t batch;  // requests published together; answers are awaited when the ring is full
  bool reversed;   // the mediator answers what it has taken last first
  bool call_each;  // it decides on a call after each answer, not once after all
};

uint64_t OperandOf(uint32_t i) { return 100 + i; }
uint64_t ResultOf(uint64_t operand) { return 3 * operand; }

template <Plan kPlan>
struct WakeSuite : rl::test_suite<WakeSuite<kPlan>, 2> {
  using Ring = ModelRing<kPlan.entries_log2>;
  Ring ring;

  void thread(unsigned index) { index == 0 ? Guest() : Mediator(); }

  void Guest() {
    ring::Producer<ModelMemory> producer(ring.Ref(), kEpoch, kFirstIdx);
    uint32_t staged = 0;
    uint32_t taken = 0;
    while (taken < kPlan.requests) {
      for (uint32_t i = 0; i < kPlan.batch && staged < kPlan.requests && !producer.full(); ++i) {
        Stage(&producer, staged++);
      }
      if (producer.Publish()) ring.kick.Write();
      const uint32_t before = taken;
      for (uint32_t i = 0; i < staged; ++i) taken += TakeOne(&producer, kFirstIdx + i);
      const bool must_wait = producer.full() || staged == kPlan.requests;
      if (taken != before || !must_wait) continue;
      if (producer.ArmCall() || !Keeps(Rule::kGuestChecksAgain)) ring.call.Read();
    }
  }

  void Stage(ring::Producer<ModelMemory>* producer, uint32_t i) {
    const uint64_t operand = OperandOf(i);
    ring.WriteOperand(producer->prod(), operand + 1);
    producer->Stage(VGPU_OP_ADD, 0, &operand, 1);
  }

  bool TakeOne(ring::Producer<ModelMemory>* producer, uint32_t idx) {
    ring::Answer answer;
    if (!producer->Take(idx, &answer)) return false;
    const uint64_t operand = OperandOf(idx - kFirstIdx);
    RL_ASSERT(answer.code == VGPU_OK && answer.data == ResultOf(operand));
    RL_ASSERT(ring.ReadResult(idx) == ResultOf(operand + 1));
    return true;
  }

  void Mediator() {
    ring::Consumer<ModelMemory> consumer(ring.Ref(), kEpoch, kFirstIdx);
    while (consumer.completed() != kFirstIdx + kPlan.requests) {
      std::deque<std::pair<uint32_t, uint64_t>> in_flight;
      ring::SlotCopy copy;
      while (consumer.Take(&copy)) {
        const uint32_t idx = consumer.cons() - 1;
        RL_ASSERT(copy.arg[0] == OperandOf(idx - kFirstIdx));
        kPlan.reversed ? in_flight.emplace_front(idx, copy.arg[0]) : in_flight.emplace_back(idx, copy.arg[0]);
      }
      for (const auto& [idx, operand] : in_flight) {
        ring.WriteResult(idx, ResultOf(ring.ReadOperand(idx)));
        consumer.Complete(idx, {VGPU_OK, static_cast<uint32_t>(ResultOf(operand))});
        if (kPlan.call_each && consumer.NeedCall()) ring.call.Write();
      }
      if (consumer.NeedCall()) ring.call.Write();
      if (!in_flight.empty()) continue;
      if (consumer.ArmKick() || !Keeps(Rule::kMediatorChecksAgain)) ring.kick.Read();
    }
  }
};

template <Plan kPlan, class Search>
void ExpectWholeProtocolHolds(Search search) {
  const Finding finding = Explore<WakeSuite<kPlan>>(search, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_success) << finding.history;
}

constexpr Plan kOne = {.entries_log2 = 1, .requests = 1, .batch = 1, .reversed = false, .call_each = false};
constexpr Plan kTwo = {.entries_log2 = 1, .requests = 2, .batch = 1, .reversed = false, .call_each = false};
constexpr Plan kThree = {.entries_log2 = 1, .requests = 3, .batch = 1, .reversed = false, .call_each = true};
constexpr Plan kPair = {.entries_log2 = 1, .requests = 2, .batch = 2, .reversed = false, .call_each = false};
constexpr Plan kPairs = {.entries_log2 = 1, .requests = 4, .batch = 2, .reversed = true, .call_each = false};
constexpr Plan kTriples = {.entries_log2 = 2, .requests = 6, .batch = 3, .reversed = true, .call_each = true};

TEST(WakeModel, OneRequest_EveryInterleaving) { ExpectWholeProtocolHolds<kOne>(Everything{}); }
TEST(WakeModel, TwoRequests_AnyFivePreemptions) { ExpectWholeProtocolHolds<kTwo>(Preemptions{5}); }
TEST(WakeModel, ThreeRequestsInTwoSlots_AnyThreePreemptions) {
  ExpectWholeProtocolHolds<kThree>(Preemptions{3});
}
TEST(WakeModel, OneBatch_AnyFivePreemptions) { ExpectWholeProtocolHolds<kPair>(Preemptions{5}); }
TEST(WakeModel, BatchesAnsweredBackwards_AnyThreePreemptions) {
  ExpectWholeProtocolHolds<kPairs>(Preemptions{3});
}
TEST(WakeModel, BatchesInFourSlots_AnyTwoPreemptions) { ExpectWholeProtocolHolds<kTriples>(Preemptions{2}); }
TEST(WakeModel, BatchesInFourSlots_RandomInterleavings) {
  ExpectWholeProtocolHolds<kTriples>(RandomSeeds{200'000});
}

struct Mutant {
  Mutation mutation;
  rl::test_result_e expected;
};

class WakeMutant : public testing::TestWithParam<Mutant> {};

TEST_P(WakeMutant, OneRequest_IsCaught) {
  const auto& [mutation, expected] = GetParam();
  const Finding finding = Explore<WakeSuite<kOne>>(Everything{}, mutation);
  EXPECT_EQ(finding.result, expected) << "expected " << rl::test_result_str(expected);
}

TEST_P(WakeMutant, BatchesAnsweredBackwards_IsCaught) {
  const auto& [mutation, expected] = GetParam();
  const Finding finding = Explore<WakeSuite<kPairs>>(Preemptions{3}, mutation);
  EXPECT_EQ(finding.result, expected) << "expected " << rl::test_result_str(expected);
}

constexpr Mutant kMutants[] = {
    {NoFence("NoFencePublish", ring::Fence::kPublish), rl::test_result_deadlock},
    {NoFence("NoFenceArmCall", ring::Fence::kArmCall), rl::test_result_deadlock},
    {NoFence("NoFenceComplete", ring::Fence::kComplete), rl::test_result_deadlock},
    {NoFence("NoFenceArmKick", ring::Fence::kArmKick), rl::test_result_deadlock},
    {Broken("GuestDoesNotLookAgain", Rule::kGuestChecksAgain), rl::test_result_deadlock},
    {Broken("MediatorDoesNotLookAgain", Rule::kMediatorChecksAgain), rl::test_result_deadlock},
    {RelaxedStore("RelaxedStoreSubmit", Kind::kSubmit), rl::test_result_data_race},
    {RelaxedLoad("RelaxedLoadSubmit", Kind::kSubmit), rl::test_result_data_race},
    {RelaxedStore("RelaxedStoreDone", Kind::kDone), rl::test_result_data_race},
    {RelaxedLoad("RelaxedLoadDone", Kind::kDone), rl::test_result_data_race},
};
INSTANTIATE_TEST_SUITE_P(All, WakeMutant, testing::ValuesIn(kMutants),
                         [](const auto& info) { return std::string(info.param.mutation.name); });

}  // namespace
}  // namespace vgpu::model
