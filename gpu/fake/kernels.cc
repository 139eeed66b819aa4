// SPDX-License-Identifier: Apache-2.0
// An image for the fake driver, which has the kernels itself: on any machine a program
// with this one has kernels.
#include "gpu/kernels.h"

namespace vgpu::gpu {

const unsigned char kKernels[] = {'f', 'a', 'k', 'e'};
const size_t kKernelsBytes = sizeof kKernels;
const int kKernelsVersion = 13000;

}  // namespace vgpu::gpu
