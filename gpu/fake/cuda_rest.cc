// SPDX-License-Identifier: Apache-2.0
// Every function of the driver that we resolve, refusing; weak, so that the other files define those that
// they have. Graphs stay here.
#include "gpu/fake/cuda.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define VGPU_FAKE(member, symbol, parameters) \
  __attribute__((weak)) CuResult member parameters { return kNotSupported; }
namespace vgpu::gpu::fake {
VGPU_CUDA_FUNCTIONS(VGPU_FAKE)
}  // namespace vgpu::gpu::fake
#undef VGPU_FAKE
