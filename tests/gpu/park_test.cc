// SPDX-License-Identifier: Apache-2.0
// A GPU that nobody asks for anything is given back: no engine, no context, no power. It comes back with the
// next request, which the CPU answers meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "tests/gpu/engines.h"
#include "tests/gpu/gpu_fixture.h"

namespace vgpu::test {
namespace {

using std::chrono::steady_clock;

class ParkTest : public GpuTest {
 protected:
  bool NoEngines() {
    return Eventually([&] { return ChildrenOf(daemon_->pid()).empty(); });
  }
  // Asks until the GPU is there: it may be parked again before anybody looks.
  bool AsksUntilOnGpu(Guest* guest, uint32_t vm_id) {
    return Eventually([&] {
      Ask(guest, 100);
      return OnGpu(vm_id);
    });
  }
};

TEST_F(ParkTest, IdleGpu_ItsEnginesEnd_AndComeBackWithTheNextRequest) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = AttachAnywhere(1, &guest);
  for (int times = 0; times < 2; ++times) {
    ASSERT_TRUE(AsksUntilOnGpu(guest.get(), 1)) << daemon_->Log();
    ASSERT_TRUE(NoEngines()) << daemon_->Log();
    EXPECT_EQ(RunsOn(1), "parked gpu 0");
    const uint64_t before = GpuPieces(1);
    ASSERT_TRUE(AsksUntilOnGpu(guest.get(), 1)) << daemon_->Log();
    EXPECT_TRUE(Eventually([&] {
      Ask(guest.get(), 100);
      return GpuPieces(1) >= before + 100;
    })) << daemon_->Log();
  }
}

TEST_F(ParkTest, NobodyAttached_ParkedToo_AndAVmThatComesLaterGetsTheGpu) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_TRUE(NoEngines()) << daemon_->Log();
  std::unique_ptr<Guest> guest, other;
  const auto owner = AttachAnywhere(1, &guest);
  const auto neighbour = AttachAnywhere(2, &other);
  EXPECT_EQ(RunsOn(1), "parked gpu 0");
  // One VM's requests bring the GPU back for both.
  EXPECT_TRUE(Eventually([&] {
    Ask(guest.get(), 100);
    return OnGpu(1) && OnGpu(2);
  })) << daemon_->Log();
  Ask(other.get(), 100);
}

// What a GPU cannot do does not bring it back.
TEST_F(ParkTest, RequestsForTheCpu_DoNotWakeIt) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_TRUE(NoEngines()) << daemon_->Log();
  std::unique_ptr<Guest> guest;
  const auto owner = AttachAnywhere(1, &guest);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(guest->Ask(guest->Stage(VGPU_OP_DEVICE_INFO, 0, {0, sizeof(vgpu_device_info)})).code, VGPU_OK);
    ASSERT_EQ(guest->Ask(guest->Stage(7)).code, VGPU_ERR_UNSUPPORTED);
    ASSERT_EQ(guest->Ask(guest->Stage(VGPU_OP_VECTOR_ADD, 99, {1, 0, 0, 0})).code, VGPU_ERR_INVALID_REQUEST);
  }
  // Each was answered in an iteration that would have woken it.
  EXPECT_EQ(RunsOn(1), "parked gpu 0");
  EXPECT_TRUE(ChildrenOf(daemon_->pid()).empty());
}

TEST_F(ParkTest, VmEndsWhileItsGpuIsParked_ItsMemoryIsFree) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  auto owner = AttachAnywhere(1, &guest);
  ASSERT_TRUE(AsksUntilOnGpu(guest.get(), 1)) << daemon_->Log();
  ASSERT_TRUE(NoEngines()) << daemon_->Log();
  guest.reset();
  owner.reset();
  EXPECT_TRUE(Eventually([&] { return daemon_->VmCount() == 0; })) << daemon_->Log();
  const auto again = AttachAnywhere(1, &guest);
  EXPECT_TRUE(AsksUntilOnGpu(guest.get(), 1)) << daemon_->Log();
}

TEST_F(ParkTest, GpuInUse_IsNotParked) {
  auto last = steady_clock::now();
  steady_clock::duration longest{};
  Start("park_s = 2\nspare = false\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = AttachAnywhere(1, &guest);
  ASSERT_TRUE(AsksUntilOnGpu(guest.get(), 1)) << daemon_->Log();
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  const auto begin = steady_clock::now();
  while (last - begin < std::chrono::seconds(5)) {
    Ask(guest.get(), 100);
    const auto now = steady_clock::now();
    longest = std::max(longest, now - last);
    last = now;
  }
  if (longest >= std::chrono::seconds(1))
    GTEST_SKIP() << "this machine stood still for a second: nothing can be said";
  ASSERT_EQ(engines.size(), 1u);
  EXPECT_EQ(ChildrenOf(daemon_->pid()), engines) << daemon_->Log();
  EXPECT_TRUE(OnGpu(1));
}

}  // namespace
}  // namespace vgpu::test
