// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 for tests. The environment says how it behaves: FAKE_CUDA_INIT and FAKE_CUDA_MODULE (results),
// FAKE_CUDA_VERSION and FAKE_CUDA_DEVICES. fake_cuda_rest.cc has the functions that need not do anything.
#include "gpu/fake_cuda.h"

#include <cstdlib>

namespace vgpu::gpu::fake {
namespace {

constexpr CuResult kNoDevice = 100;

int Setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

CuResult Explain(CuResult error, const char* what, const char** text) {
  *text = error == kNoDevice ? what : nullptr;
  return error == kNoDevice ? kCuSuccess : 1;
}

}  // namespace

CuResult Init(unsigned) { return Setting("FAKE_CUDA_INIT", kCuSuccess); }

CuResult ModuleLoadData(CuModule* module, const void*) {
  *module = nullptr;
  return Setting("FAKE_CUDA_MODULE", kCuSuccess);
}

CuResult DriverGetVersion(int* version) {
  *version = Setting("FAKE_CUDA_VERSION", 13000);
  return kCuSuccess;
}

CuResult DeviceGetCount(int* count) {
  *count = Setting("FAKE_CUDA_DEVICES", 1);
  return kCuSuccess;
}

CuResult GetErrorName(CuResult error, const char** name) { return Explain(error, "CUDA_ERROR_NO_DEVICE", name); }

CuResult GetErrorString(CuResult error, const char** text) {
  return Explain(error, "no CUDA-capable device is detected", text);
}

}  // namespace vgpu::gpu::fake
