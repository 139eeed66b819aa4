// SPDX-License-Identifier: Apache-2.0
// Model check of the epoch handshake and of a mediator's restart, with peers that die at any step.
#include <gtest/gtest.h>

#include <string>

#include "tests/model/explore.h"
#include "tests/model/life_suite.h"

namespace vgpu::model {
namespace {

constexpr unsigned kOwnerThread = 0;
constexpr unsigned kMediatorThread = 1;

constexpr LifePlan kGuestDies = {.requests = 1, .guest_steps = 34};
constexpr LifePlan kAliasedGuestDies = {.requests = 1, .guest_steps = 34, .epoch_aliases = true};
constexpr LifePlan kLateWriter = {.requests = 1, .late_writer = true};
constexpr LifePlan kAliasedLateWriter = {.requests = 1, .late_writer = true, .epoch_aliases = true};
constexpr LifePlan kMediatorDies = {.requests = 2, .mediator_steps = 80, .mediator_deaths = 1};
constexpr LifePlan kAllDie = {.requests = 3, .guest_steps = 60, .mediator_steps = 120, .mediator_deaths = 2};

template <LifePlan kPlan, class Search>
Finding ExploreLife(Search search, const Mutation& mutation) {
  Mortality::deaths.clear();
  return Explore<LifeSuite<kPlan>>(search, mutation);
}

// Every step of the longest life was some process's last one, and `steps` is longer than any life.
void ExpectDeathsAtEveryStep(unsigned thread, unsigned steps) {
  EXPECT_EQ(Mortality::deaths.count({thread, steps - 1}), 0u)
      << "lives are longer than the plan's kill points";
  unsigned last = 0;
  for (unsigned step = 0; step < steps; ++step) {
    if (Mortality::deaths.contains({thread, step})) last = step;
  }
  EXPECT_GT(last, 10u);
  for (unsigned step = 0; step <= last; ++step)
    EXPECT_GT((Mortality::deaths[{thread, step}]), 0u) << "step " << step;
}

TEST(LifeModel, Epoch_GuestDiesAtAnyStep_NextOwnerStartsClean) {
  const Finding finding = ExploreLife<kGuestDies>(Preemptions{2}, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_success) << finding.history;
  ExpectDeathsAtEveryStep(kOwnerThread, kGuestDies.guest_steps);
}

TEST(LifeModel, Epoch_SameTagAsDeadOwners_NextOwnerStartsClean) {
  const Finding finding = ExploreLife<kAliasedGuestDies>(Preemptions{2}, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_success) << finding.history;
  ExpectDeathsAtEveryStep(kOwnerThread, kAliasedGuestDies.guest_steps);
}

TEST(LifeModel, Epoch_OldOwnerWritesLate_NobodyIsFooled) {
  const Finding finding = ExploreLife<kLateWriter>(Preemptions{1}, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_success) << finding.history;
}

// The epoch in the tag is what tells late writes apart: 255 epochs later it does not.
TEST(LifeModel, Epoch_OldOwnerWritesLateUnderTheSameTag_IsTakenForTheNewOne) {
  const Finding finding = ExploreLife<kAliasedLateWriter>(Preemptions{2}, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_user_assert_failed);
}

TEST(LifeModel, Restart_MediatorDiesAtAnyStep_EachRequestIsAnsweredOnce) {
  const Finding finding = ExploreLife<kMediatorDies>(Preemptions{2}, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_success) << finding.history;
  ExpectDeathsAtEveryStep(kMediatorThread, kMediatorDies.mediator_steps);
}

TEST(LifeModel, All_GuestAndTwoMediatorsDieAtAnyStep_LastOwnerIsServed) {
  const Finding finding = ExploreLife<kAllDie>(RandomSeeds{300'000}, kWhole);
  EXPECT_EQ(finding.result, rl::test_result_success) << finding.history;
}

struct Mutant {
  Mutation mutation;
  rl::test_result_e expected;
};

class LifeMutant : public testing::TestWithParam<Mutant> {};

TEST_P(LifeMutant, IsCaught) {
  const Finding finding = ExploreLife<kAllDie>(RandomSeeds{300'000}, GetParam().mutation);
  EXPECT_EQ(finding.result, GetParam().expected)
      << rl::test_result_str(finding.result) << " instead of " << rl::test_result_str(GetParam().expected);
}

constexpr Mutant kMutants[] = {
    {NoFence("NoFencePublish", ring::Fence::kPublish), rl::test_result_deadlock},
    {NoFence("NoFenceArmCall", ring::Fence::kArmCall), rl::test_result_deadlock},
    {NoFence("NoFenceComplete", ring::Fence::kComplete), rl::test_result_deadlock},
    {NoFence("NoFenceArmKick", ring::Fence::kArmKick), rl::test_result_deadlock},
    {RelaxedStore("RelaxedStoreEpochReq", Kind::kEpochReq), rl::test_result_data_race},
    {RelaxedLoad("RelaxedLoadEpochReq", Kind::kEpochReq), rl::test_result_data_race},
    {RelaxedStore("RelaxedStoreEpochAck", Kind::kEpochAck), rl::test_result_data_race},
    {RelaxedLoad("RelaxedLoadEpochAck", Kind::kEpochAck), rl::test_result_data_race},
    {Broken("AckBeforeEngineStopped", Rule::kAckAfterEngineStopped), rl::test_result_data_race},
    {Broken("RestartDoesNotCall", Rule::kRestartCalls), rl::test_result_deadlock},
    {Broken("RestartLooksNotBehindCons", Rule::kRestartChecksBehindCons), rl::test_result_deadlock},
    {Broken("RestartForgetsAck", Rule::kRestartFinishesAck), rl::test_result_deadlock},
};
INSTANTIATE_TEST_SUITE_P(All, LifeMutant, testing::ValuesIn(kMutants),
                         [](const auto& info) { return std::string(info.param.mutation.name); });

// These go wrong in more than one way; the search finds one of them.
void ExpectCaught(const Mutation& mutation) {
  EXPECT_NE(ExploreLife<kAllDie>(RandomSeeds{300'000}, mutation).result, rl::test_result_success);
}
TEST(LifeMutant, RestartRunsAnswered_IsCaught) {
  ExpectCaught(Broken("RestartRunsAnswered", Rule::kRestartSkipsAnswered));
}
TEST(LifeMutant, ExecutesBeforeJournal_IsCaught) {
  ExpectCaught(Broken("ExecutesBeforeJournal", Rule::kJournalBeforeExecution));
}
TEST(LifeMutant, AcksBeforeJournal_IsCaught) {
  ExpectCaught(Broken("AcksBeforeJournal", Rule::kJournalBeforeAck));
}
// Zeroed slots matter only where a tag comes again.
TEST(LifeMutant, AckLeavesSlots_IsCaught) {
  EXPECT_EQ(
      ExploreLife<kAliasedGuestDies>(Preemptions{2}, Broken("AckLeavesSlots", Rule::kAckClearsSlots)).result,
      rl::test_result_user_assert_failed);
}

}  // namespace
}  // namespace vgpu::model
