// SPDX-License-Identifier: Apache-2.0
// The device code as an image for cuModuleLoadData: machine code for sm_80 to sm_90, PTX for newer ones.
#ifndef VGPU_GPU_KERNELS_H_
#define VGPU_GPU_KERNELS_H_

#include <cstddef>

namespace vgpu::gpu {

extern const unsigned char kKernels[];
// 0: built on a machine without the CUDA toolkit.
extern const size_t kKernelsBytes;
// The toolkit's version, as cuDriverGetVersion counts: 13000 is 13.0. 0 without one. An older driver major
// refuses the image.
extern const int kKernelsVersion;

}  // namespace vgpu::gpu

#endif  // VGPU_GPU_KERNELS_H_
