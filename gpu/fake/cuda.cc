// SPDX-License-Identifier: Apache-2.0
// The driver and its devices. The environment says how they behave: FAKE_CUDA_INIT (its result),
// FAKE_CUDA_VERSION, FAKE_CUDA_DEVICES (how many), FAKE_CUDA_NAME (of each, before its number); in other
// files FAKE_CUDA_MODULE and FAKE_CUDA_REGISTER (results of loading kernels and of registering memory),
// FAKE_CUDA_HANG_FROM_KIB (registering that much memory, or more, never returns), FAKE_CUDA_GAPS=1 (the
// resident kernel reports a gap every 5 ms).
#include "gpu/fake/cuda.h"

#include <cstdio>
#include <cstdlib>

namespace vgpu::gpu::fake {
namespace {

constexpr size_t kMemoryBytes = size_t{16} << 30;

bool Exists(CuDevice device) { return device >= 0 && device < Setting("FAKE_CUDA_DEVICES", 1); }

}  // namespace

int Setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

CuResult Init(unsigned) { return Setting("FAKE_CUDA_INIT", kCuSuccess); }

CuResult DriverGetVersion(int* version) {
  *version = Setting("FAKE_CUDA_VERSION", 13000);
  return kCuSuccess;
}

CuResult DeviceGetCount(int* count) {
  *count = Setting("FAKE_CUDA_DEVICES", 1);
  return kCuSuccess;
}

CuResult DeviceGet(CuDevice* device, int ordinal) {
  if (!Exists(ordinal)) return kInvalidDevice;
  *device = ordinal;
  return kCuSuccess;
}

CuResult DeviceGetName(char* name, int bytes, CuDevice device) {
  if (!Exists(device)) return kInvalidDevice;
  const char* given = std::getenv("FAKE_CUDA_NAME");
  std::snprintf(name, static_cast<size_t>(bytes), "%s %d", given == nullptr ? "Fake GPU" : given, device);
  return kCuSuccess;
}

CuResult DeviceTotalMem(size_t* bytes, CuDevice device) {
  if (!Exists(device)) return kInvalidDevice;
  *bytes = kMemoryBytes;
  return kCuSuccess;
}

}  // namespace vgpu::gpu::fake
