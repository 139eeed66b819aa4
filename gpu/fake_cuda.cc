// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 for tests. The environment says how it behaves: FAKE_CUDA_INIT (a result), FAKE_CUDA_VERSION and
// FAKE_CUDA_DEVICES. fake_cuda_rest.cc has the functions that need not do anything.
#include <cstdlib>

namespace {

int Setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return Setting("FAKE_CUDA_INIT", 0); }

int cuDriverGetVersion(int* version) {
  *version = Setting("FAKE_CUDA_VERSION", 13000);
  return 0;
}

int cuDeviceGetCount(int* count) {
  *count = Setting("FAKE_CUDA_DEVICES", 1);
  return 0;
}

int cuGetErrorName(int error, const char** name) {
  *name = error == 100 ? "CUDA_ERROR_NO_DEVICE" : nullptr;
  return error == 100 ? 0 : 1;
}

int cuGetErrorString(int error, const char** text) {
  *text = error == 100 ? "no CUDA-capable device is detected" : nullptr;
  return error == 100 ? 0 : 1;
}

}  // extern "C"
