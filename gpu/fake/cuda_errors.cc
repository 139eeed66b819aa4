// SPDX-License-Identifier: Apache-2.0
// Names and explanations of errors, as the driver gives them.
#include <algorithm>
#include <iterator>

#include "gpu/fake/cuda.h"

namespace vgpu::gpu::fake {
namespace {

struct Error {
  CuResult error;
  const char* name;
  const char* text;
};

constexpr Error kErrors[] = {
    {kCuSuccess, "CUDA_SUCCESS", "no error"},
    {kInvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {kNoDevice, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {kNotFound, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {kCuNotReady, "CUDA_ERROR_NOT_READY", "device not ready"},
    {kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {kAlreadyRegistered, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
     "part or all of the requested memory range is already mapped"},
    {kNotRegistered, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
     "pointer does not correspond to a registered memory region"},
    {kMisalignedAddress, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {kNotSupported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {kUnknown, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

CuResult Explain(CuResult error, const char* Error::*what, const char** text) {
  const auto* found =
      std::find_if(std::begin(kErrors), std::end(kErrors), [&](const Error& e) { return e.error == error; });
  *text = found == std::end(kErrors) ? nullptr : found->*what;
  return *text == nullptr ? kInvalidValue : kCuSuccess;
}

}  // namespace

CuResult GetErrorName(CuResult error, const char** name) { return Explain(error, &Error::name, name); }
CuResult GetErrorString(CuResult error, const char** text) { return Explain(error, &Error::text, text); }

}  // namespace vgpu::gpu::fake
