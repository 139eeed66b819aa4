// SPDX-License-Identifier: Apache-2.0
#include "mediator/sched/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <random>
#include <vector>

namespace vgpu::mediator {
namespace {

constexpr uint8_t kLow = 0, kMedium = 1, kHigh = 2;

Flow Of(uint8_t priority) {
  Flow flow;
  flow.priority = priority;
  return flow;
}

// Whose turns come when each has one turn and more work, until every one has had `turns`.
std::vector<const Flow*> Turns(Scheduler* scheduler, size_t turns) {
  std::vector<const Flow*> order;
  for (size_t i = 0; i < turns; ++i) {
    Flow* flow = scheduler->Next();
    order.push_back(flow);
    scheduler->Yield(flow);
  }
  return order;
}

TEST(SchedulerTest, Empty_NobodyIsNext) {
  const Scheduler scheduler;
  EXPECT_EQ(scheduler.Next(), nullptr);
  EXPECT_TRUE(scheduler.empty());
}

TEST(SchedulerTest, HigherClass_AlwaysFirst) {
  Scheduler scheduler;
  Flow low = Of(kLow), medium = Of(kMedium), high = Of(kHigh);
  scheduler.Add(&low);
  scheduler.Add(&medium);
  scheduler.Add(&high);
  for (int i = 0; i < 10; ++i) {  // turns do not wear a priority out
    EXPECT_EQ(scheduler.Next(), &high);
    scheduler.Yield(&high);
  }
  scheduler.Remove(&high);
  EXPECT_EQ(scheduler.Next(), &medium);
  scheduler.Add(&high);
  EXPECT_EQ(scheduler.Next(), &high) << "who comes later with a higher class goes first";
  scheduler.Remove(&high);
  scheduler.Remove(&medium);
  EXPECT_EQ(scheduler.Next(), &low);
  scheduler.Remove(&low);
  EXPECT_TRUE(scheduler.empty());
}

TEST(SchedulerTest, SameClass_TurnsInOrderOfArrival) {
  Scheduler scheduler;
  Flow a = Of(kMedium), b = Of(kMedium), c = Of(kMedium);
  for (Flow* flow : {&a, &b, &c}) scheduler.Add(flow);
  EXPECT_EQ(Turns(&scheduler, 7), (std::vector<const Flow*>{&a, &b, &c, &a, &b, &c, &a}));
}

TEST(SchedulerTest, NewFlow_WaitsBehindTheOthersOfItsClass) {
  Scheduler scheduler;
  Flow a = Of(kLow), b = Of(kLow), late = Of(kLow);
  scheduler.Add(&a);
  scheduler.Add(&b);
  EXPECT_EQ(Turns(&scheduler, 1), (std::vector<const Flow*>{&a}));
  scheduler.Add(&late);
  EXPECT_EQ(Turns(&scheduler, 4), (std::vector<const Flow*>{&b, &a, &late, &b}));
}

TEST(SchedulerTest, AddTwice_OneTurn) {
  Scheduler scheduler;
  Flow a = Of(kLow), b = Of(kLow);
  for (Flow* flow : {&a, &b, &a, &a}) scheduler.Add(flow);
  EXPECT_EQ(Turns(&scheduler, 4), (std::vector<const Flow*>{&a, &b, &a, &b}));
}

TEST(SchedulerTest, OnlyOne_YieldsToItself) {
  Scheduler scheduler;
  Flow a = Of(kHigh);
  scheduler.Add(&a);
  EXPECT_EQ(Turns(&scheduler, 3), (std::vector<const Flow*>{&a, &a, &a}));
}

// Each of three leaves, from the front, the middle and the end, with the turn at each of them.
TEST(SchedulerTest, RemoveInEveryPosition_OthersKeepTheirOrder) {
  for (size_t turns = 0; turns < 3; ++turns) {
    for (size_t leaves = 0; leaves < 3; ++leaves) {
      Scheduler scheduler;
      Flow flows[3] = {Of(kMedium), Of(kMedium), Of(kMedium)};
      for (Flow& flow : flows) scheduler.Add(&flow);
      Turns(&scheduler, turns);
      std::vector<const Flow*> expected;
      for (size_t i = 0; i < 3; ++i) {
        if ((turns + i) % 3 != leaves) expected.push_back(&flows[(turns + i) % 3]);
      }
      scheduler.Remove(&flows[leaves]);
      scheduler.Remove(&flows[leaves]);  // harmless
      EXPECT_FALSE(flows[leaves].queued);
      EXPECT_EQ(Turns(&scheduler, 2), expected) << turns << " turns, then " << leaves << " leaves";
    }
  }
}

// The obvious way to do it.
class Model {
 public:
  void Add(Flow* flow) {
    if (!Has(flow)) Of(flow).push_back(flow);
  }
  void Remove(Flow* flow) { std::erase(Of(flow), flow); }
  Flow* Next() const {
    for (auto it = classes_.rbegin(); it != classes_.rend(); ++it) {
      if (!it->empty()) return it->front();
    }
    return nullptr;
  }
  void Yield(Flow* flow) {
    Of(flow).pop_front();
    Of(flow).push_back(flow);
  }
  bool Has(Flow* flow) { return std::find(Of(flow).begin(), Of(flow).end(), flow) != Of(flow).end(); }
  std::deque<Flow*>& Of(Flow* flow) { return classes_[flow->priority]; }

 private:
  std::array<std::deque<Flow*>, kPriorities> classes_;
};

TEST(SchedulerTest, RandomUse_BehavesLikeTheModel) {
  const char* given = std::getenv("VGPU_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  SCOPED_TRACE("VGPU_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int life = 0; life < 200; ++life) {
    Scheduler scheduler;
    Model model;
    std::vector<Flow> flows(1 + random() % 9);
    for (Flow& flow : flows) flow.priority = static_cast<uint8_t>(random() % kPriorities);
    for (int step = 0; step < 500; ++step) {
      Flow* flow = &flows[random() % flows.size()];
      switch (random() % 4) {
        case 0:
          scheduler.Add(flow);
          model.Add(flow);
          break;
        case 1:
          scheduler.Remove(flow);
          model.Remove(flow);
          break;
        default:
          if (scheduler.Next() == nullptr) break;
          flow = scheduler.Next();
          scheduler.Yield(flow);
          model.Yield(flow);
      }
      ASSERT_EQ(scheduler.Next(), model.Next()) << "life " << life << ", step " << step;
      for (Flow& each : flows) ASSERT_EQ(each.queued, model.Has(&each));
    }
  }
}

}  // namespace
}  // namespace vgpu::mediator
