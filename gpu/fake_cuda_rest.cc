// SPDX-License-Identifier: Apache-2.0
// Every function of the driver that we resolve, doing nothing; weak, so that fake_cuda.cc can define some of them.
#include "gpu/fake_cuda.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define VGPU_FAKE(member, symbol, parameters) \
  __attribute__((weak)) CuResult member parameters { return kCuSuccess; }
namespace vgpu::gpu::fake {
VGPU_CUDA_FUNCTIONS(VGPU_FAKE)
}  // namespace vgpu::gpu::fake
#undef VGPU_FAKE
