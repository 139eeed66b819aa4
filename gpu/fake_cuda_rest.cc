// SPDX-License-Identifier: Apache-2.0
// Every function of the driver that we resolve, doing nothing; weak, so that fake_cuda.cc can define some of them.
#include "gpu/cuda_driver.h"

extern "C" int VgpuFakeNothing() { return 0; }

#define VGPU_FAKE(member, symbol, parameters) asm(".weak " symbol "\n.set " symbol ", VgpuFakeNothing\n");
VGPU_CUDA_FUNCTIONS(VGPU_FAKE)
#undef VGPU_FAKE
