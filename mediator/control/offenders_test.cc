// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/offenders.h"

#include <gtest/gtest.h>

namespace vgpu::mediator {
namespace {

using Added = Offenders::Added;

TEST(OffendersTest, Quarantine_UntilItIsReleased) {
  Offenders offenders;
  EXPECT_FALSE(offenders.Quarantined(7));
  EXPECT_EQ(offenders.Quarantine(7), Added::kNew);
  EXPECT_EQ(offenders.Quarantine(7), Added::kAlready);
  EXPECT_TRUE(offenders.Quarantined(7));
  EXPECT_FALSE(offenders.Quarantined(8));
  offenders.Release(7);
  EXPECT_FALSE(offenders.Quarantined(7));
}

TEST(OffendersTest, Full_NoMoreAreQuarantined_ThoseWhoAreStay) {
  Offenders offenders;
  for (uint32_t vm = 0; vm < Offenders::kQuarantinedMax; ++vm)
    ASSERT_EQ(offenders.Quarantine(vm), Added::kNew);
  EXPECT_EQ(offenders.Quarantine(1'000'000), Added::kFull);
  EXPECT_EQ(offenders.Quarantine(3), Added::kAlready);
  offenders.Release(3);
  EXPECT_EQ(offenders.Quarantine(1'000'000), Added::kNew);
}

TEST(OffendersTest, Stalls_AreCountedByVmAndForgottenWithARelease) {
  Offenders offenders;
  EXPECT_EQ(offenders.stalls(7), 0u);
  EXPECT_EQ(offenders.CountStall(7), 1u);
  EXPECT_EQ(offenders.CountStall(7), 2u);
  EXPECT_EQ(offenders.CountStall(8), 1u);
  EXPECT_EQ(offenders.stalls(7), 2u);
  offenders.Release(7);
  EXPECT_EQ(offenders.stalls(7), 0u);
  EXPECT_EQ(offenders.stalls(8), 1u);
}

TEST(OffendersTest, ManyVms_TheirNumberIsBounded) {
  Offenders offenders;
  for (uint32_t vm = 0; vm <= Offenders::kStallsMax; ++vm) offenders.CountStall(vm);
  EXPECT_EQ(offenders.stalls(0), 0u);
  EXPECT_EQ(offenders.stalls(1), 1u);
  EXPECT_EQ(offenders.stalls(Offenders::kStallsMax), 1u);
}

}  // namespace
}  // namespace vgpu::mediator
