// SPDX-License-Identifier: Apache-2.0
// What the fake devices may use: registered host memory and their own.
// An address is the same for host and device.
#ifndef VGPU_GPU_FAKE_CUDA_MEMORY_H_
#define VGPU_GPU_FAKE_CUDA_MEMORY_H_

#include <cstdint>

namespace vgpu::gpu::fake {

// All of it lies in registrations, or in an allocation. Any thread.
bool Reachable(uint64_t address, uint64_t bytes);

}  // namespace vgpu::gpu::fake

#endif  // VGPU_GPU_FAKE_CUDA_MEMORY_H_
