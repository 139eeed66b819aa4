// SPDX-License-Identifier: Apache-2.0
// A device's one context. It lives as long as the process, and so does its error: only a new process is rid
// of it.
#ifndef VGPU_GPU_FAKE_CUDA_CONTEXT_H_
#define VGPU_GPU_FAKE_CUDA_CONTEXT_H_

#include <atomic>

#include "gpu/fake/cuda.h"

namespace vgpu::gpu {

struct CUctx_st {
  // The first error of a kernel; then nothing runs here any more.
  // Set with the streams' lock held, read without.
  std::atomic<CuResult> error{kCuSuccess};
  // With the streams' lock held:
  int running = 0;  // streams that are doing something
  CuStream null_stream = nullptr;

  bool broken() const { return error.load(std::memory_order_relaxed) != kCuSuccess; }
};

namespace fake {

// Of the calling thread; null: none.
CuContext Current();

}  // namespace fake
}  // namespace vgpu::gpu

#endif  // VGPU_GPU_FAKE_CUDA_CONTEXT_H_
