// SPDX-License-Identifier: Apache-2.0
// The kernels of kernels.cu as the fake devices run them: each on its stream's thread.
#ifndef VGPU_GPU_FAKE_CUDA_KERNELS_H_
#define VGPU_GPU_FAKE_CUDA_KERNELS_H_

#include <cstddef>

#include "gpu/fake/cuda_stream.h"

namespace vgpu::gpu::fake {

struct Launch {
  unsigned grid_x;
  unsigned grid_y;
  unsigned block_x;
  void** parameters;

  template <class T>
  const T& parameter(size_t i) const {
    return *static_cast<const T*>(parameters[i]);
  }
};

// Each copies the parameters. None where the kernel cannot be launched so.
Work PrepareResident(const Launch& launch);
Work PrepareBatch(const Launch& launch);
Work PrepareNativeAdd(const Launch& launch);
Work PrepareBusy(const Launch& launch);

}  // namespace vgpu::gpu::fake

#endif  // VGPU_GPU_FAKE_CUDA_KERNELS_H_
