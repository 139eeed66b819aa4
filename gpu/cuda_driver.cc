// SPDX-License-Identifier: Apache-2.0
#include "gpu/cuda_driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace vgpu::gpu {
namespace {

constexpr int kMajor = 1000;  // 13.2 is 13020

std::string Version(int version) { return fmt::format("{}.{}", version / kMajor, version % kMajor / 10); }

template <class Function>
bool Resolve(void* library, const char* symbol, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, symbol));
  return *function != nullptr;
}

}  // namespace

Result<void> CudaDriver::Check(CuResult result, const char* what) const {
  if (result == kCuSuccess) return {};
  const char* name = nullptr;
  const char* text = nullptr;
  if (GetErrorName(result, &name) != kCuSuccess || name == nullptr) name = "an unknown CUDA error";
  if (GetErrorString(result, &text) != kCuSuccess || text == nullptr) text = "no explanation";
  return tl::make_unexpected(fmt::format("{}: {} ({}: {})", what, name, result, text));
}

Result<CudaDriver> LoadCudaDriver(int kernels_version, const char* library) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    return tl::make_unexpected(fmt::format("no NVIDIA driver ({}): install one to use a GPU", dlerror()));
  }
  CudaDriver driver;
#define VGPU_CUDA_RESOLVE(member, symbol, parameters)                                            \
  if (!Resolve(handle, symbol, &driver.member)) {                                                \
    return tl::make_unexpected(                                                                  \
        fmt::format("the NVIDIA driver has no {}: it is too old; install a newer one", symbol)); \
  }
  VGPU_CUDA_FUNCTIONS(VGPU_CUDA_RESOLVE)
#undef VGPU_CUDA_RESOLVE
  if (const auto ready = driver.Check(driver.Init(0), "the NVIDIA driver does not start"); !ready) {
    return tl::make_unexpected(ready.error());
  }
  int version = 0;
  if (const auto told = driver.Check(driver.DriverGetVersion(&version), "the driver's version"); !told) {
    return tl::make_unexpected(told.error());
  }
  if (version / kMajor < kernels_version / kMajor) {
    return tl::make_unexpected(
        fmt::format("the NVIDIA driver speaks CUDA {}, these kernels were built with {}: install a driver "
                    "for CUDA {} or newer",
                    Version(version), Version(kernels_version), kernels_version / kMajor));
  }
  int count = 0;
  if (const auto counted = driver.Check(driver.DeviceGetCount(&count), "counting GPUs"); !counted) {
    return tl::make_unexpected(counted.error());
  }
  if (count == 0) return tl::make_unexpected("the NVIDIA driver finds no GPU: see nvidia-smi");
  return driver;
}

}  // namespace vgpu::gpu
