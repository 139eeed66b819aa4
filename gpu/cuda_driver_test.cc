// SPDX-License-Identifier: Apache-2.0
#include "gpu/cuda_driver.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace vgpu::gpu {
namespace {

constexpr const char* kFake = "./gpu/fake/libfake_cuda.so";  // bazel test runs in the runfiles
constexpr int kVersion = 13000;

class CudaDriverTest : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"FAKE_CUDA_INIT", "FAKE_CUDA_VERSION", "FAKE_CUDA_DEVICES"}) unsetenv(name);
  }
  static void ExpectError(const Result<CudaDriver>& driver, const std::string& text) {
    ASSERT_FALSE(driver);
    EXPECT_NE(driver.error().find(text), std::string::npos) << driver.error();
  }
};

TEST_F(CudaDriverTest, EveryFunctionIsResolved) {
  const auto driver = LoadCudaDriver(kVersion, kFake);
  ASSERT_TRUE(driver) << driver.error();
#define VGPU_EXPECT(member, symbol, parameters) EXPECT_NE(driver->member, nullptr) << symbol;
  VGPU_CUDA_FUNCTIONS(VGPU_EXPECT)
#undef VGPU_EXPECT
}

TEST_F(CudaDriverTest, NoDriver_SaysSo) {
  ExpectError(LoadCudaDriver(kVersion, "libno-such-driver.so.1"), "no NVIDIA driver (libno-such-driver.so.1");
}

TEST_F(CudaDriverTest, FunctionMissing_NamesIt) {
  ExpectError(LoadCudaDriver(kVersion, "libm.so.6"), "has no cuInit: it is too old; install a newer one");
}

TEST_F(CudaDriverTest, DriverOlderThanTheKernels_SaysWhichOneIsNeeded) {
  setenv("FAKE_CUDA_VERSION", "12040", 1);
  ExpectError(LoadCudaDriver(kVersion, kFake),
              "speaks CUDA 12.4, these kernels were built with 13.0: install a driver for CUDA 13 or newer");
}

TEST_F(CudaDriverTest, OlderMinorOrNewerMajor_IsGoodEnough) {
  setenv("FAKE_CUDA_VERSION", "13000", 1);
  EXPECT_TRUE(LoadCudaDriver(13020, kFake));
  setenv("FAKE_CUDA_VERSION", "14010", 1);
  EXPECT_TRUE(LoadCudaDriver(kVersion, kFake));
}

TEST_F(CudaDriverTest, InitFails_NameAndExplanation) {
  setenv("FAKE_CUDA_INIT", "100", 1);
  ExpectError(LoadCudaDriver(kVersion, kFake),
              "does not start: CUDA_ERROR_NO_DEVICE (100: no CUDA-capable device is detected)");
}

TEST_F(CudaDriverTest, UnknownError_KeepsItsNumber) {
  setenv("FAKE_CUDA_INIT", "4711", 1);
  ExpectError(LoadCudaDriver(kVersion, kFake), "an unknown CUDA error (4711: no explanation)");
}

TEST_F(CudaDriverTest, NoDevice_SaysSo) {
  setenv("FAKE_CUDA_DEVICES", "0", 1);
  ExpectError(LoadCudaDriver(kVersion, kFake), "finds no GPU: see nvidia-smi");
}

}  // namespace
}  // namespace vgpu::gpu
