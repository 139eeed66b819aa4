// SPDX-License-Identifier: Apache-2.0
// Streams: each has a thread, which does one thing after another.
#ifndef VGPU_GPU_FAKE_CUDA_STREAM_H_
#define VGPU_GPU_FAKE_CUDA_STREAM_H_

#include <chrono>
#include <functional>

#include "gpu/fake/cuda_context.h"

namespace vgpu::gpu::fake {

// What a stream's thread does. An error breaks the context.
using Work = std::function<CuResult(CuContext)>;

// Success, or why the calling thread's context cannot be used: there is none, or it is broken. Of a broken
// context the caller hears when nothing in it runs any more: what it used is the caller's again.
CuResult Usable();

// For a stream of the calling thread's context; null is a stream, too.
CuResult Enqueue(CuStream stream, Work work);

// Waits for all that was enqueued before, in any stream of any context. So do the functions of the driver
// that take something away from kernels: beside a kernel that stays they do not come back.
CuResult WaitForAll();

// For work that does nothing for a while: ends early when the context breaks.
void Idle(CuContext context, std::chrono::nanoseconds time);
void IdleForEver(CuContext context);

}  // namespace vgpu::gpu::fake

#endif  // VGPU_GPU_FAKE_CUDA_STREAM_H_
