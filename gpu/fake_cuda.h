// SPDX-License-Identifier: Apache-2.0
// The driver's functions as a test's libcuda.so.1 defines them: under the driver's names, with the driver's types.
#ifndef VGPU_GPU_FAKE_CUDA_H_
#define VGPU_GPU_FAKE_CUDA_H_

#include "gpu/cuda_driver.h"

namespace vgpu::gpu::fake {
#define VGPU_FAKE(member, symbol, parameters) CuResult member parameters __asm__(symbol);
VGPU_CUDA_FUNCTIONS(VGPU_FAKE)
#undef VGPU_FAKE
}  // namespace vgpu::gpu::fake

#endif  // VGPU_GPU_FAKE_CUDA_H_
