// SPDX-License-Identifier: Apache-2.0
// What can be told without a GPU: the steps of opening one, on a fake driver.
#include "gpu/device.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "gpu/kernels.h"

namespace vgpu::gpu {
namespace {

constexpr const char* kFake = "./gpu/fake/libfake_cuda.so";

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto driver = LoadCudaDriver(kKernelsVersion, kFake);
    ASSERT_TRUE(driver) << driver.error();
    driver_ = *driver;
  }
  void TearDown() override { unsetenv("FAKE_CUDA_MODULE"); }

  CudaDriver driver_;
};

TEST_F(DeviceTest, BuiltWithoutToolkit_SaysSo) {
  if (kKernelsBytes != 0) GTEST_SKIP() << "this build has kernels";
  const auto device = Device::Open(&driver_, 0);
  ASSERT_FALSE(device);
  EXPECT_NE(device.error().find("built without the CUDA toolkit"), std::string::npos) << device.error();
}

TEST_F(DeviceTest, Opens_AndMakesWhatBelongsToIt) {
  if (kKernelsBytes == 0) GTEST_SKIP() << "built without the CUDA toolkit";
  const auto device = Device::Open(&driver_, 0);
  ASSERT_TRUE(device) << device.error();
  EXPECT_TRUE(Stream::Create(**device, 0));
  alignas(4096) static char memory[4096];
  EXPECT_TRUE(HostRegistration::Create(**device, memory, sizeof memory));
}

// Whatever was made before is given back (the sanitizers look).
TEST_F(DeviceTest, KernelsRefused_NamesStepAndError) {
  if (kKernelsBytes == 0) GTEST_SKIP() << "built without the CUDA toolkit";
  setenv("FAKE_CUDA_MODULE", "100", 1);
  const auto device = Device::Open(&driver_, 0);
  ASSERT_FALSE(device);
  EXPECT_NE(device.error().find("loading the kernels: CUDA_ERROR_NO_DEVICE"), std::string::npos)
      << device.error();
}

}  // namespace
}  // namespace vgpu::gpu
