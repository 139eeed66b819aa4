// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 for tests: its devices compute on the CPU. Here: the driver's functions under the driver's
// names and with the driver's types, and the errors that they give.
#ifndef VGPU_GPU_FAKE_CUDA_H_
#define VGPU_GPU_FAKE_CUDA_H_

#include "gpu/cuda_driver.h"

namespace vgpu::gpu::fake {

#define VGPU_FAKE(member, symbol, parameters) CuResult member parameters __asm__(symbol);
VGPU_CUDA_FUNCTIONS(VGPU_FAKE)
#undef VGPU_FAKE

inline constexpr CuResult kInvalidValue = 1;
inline constexpr CuResult kOutOfMemory = 2;
inline constexpr CuResult kNoDevice = 100;
inline constexpr CuResult kInvalidDevice = 101;
inline constexpr CuResult kInvalidContext = 201;
inline constexpr CuResult kInvalidHandle = 400;
inline constexpr CuResult kNotFound = 500;
inline constexpr CuResult kIllegalAddress = 700;
inline constexpr CuResult kAlreadyRegistered = 712;
inline constexpr CuResult kNotRegistered = 713;
inline constexpr CuResult kMisalignedAddress = 716;
inline constexpr CuResult kNotSupported = 801;
inline constexpr CuResult kUnknown = 999;

// A number from the environment.
int Setting(const char* name, int otherwise);

}  // namespace vgpu::gpu::fake

#endif  // VGPU_GPU_FAKE_CUDA_H_
