// SPDX-License-Identifier: Apache-2.0
// What the host hands to the batch kernel, in C++ that both compile. It travels by value in the parameters of
// a launch, so the kernel fetches nothing.
#ifndef VGPU_GPU_BATCH_ABI_H_
#define VGPU_GPU_BATCH_ABI_H_

#include <cstdint>

#include "operations/table.h"

// Jobs of one launch.
#define VGPU_BATCH_JOBS 16u
#define VGPU_BATCH_THREADS 256u  // of a block
// Bytes of one operand that a block reads in one step: 16 for each thread.
#define VGPU_BATCH_BLOCK_BYTES (VGPU_BATCH_THREADS * 16u)

// What a job is.
#define VGPU_JOB_ADD 0u      // one integer sum, straight into a guest's slot
#define VGPU_JOB_FAULT 1u    // an illegal address; only where VGPU_CRASH_POINTS is defined, as tests do
#define VGPU_JOB_HANG 2u     // never ends; only there, too
#define VGPU_JOB_VECTORS 3u  // this and above: VGPU_JOB_VECTORS + a number of operations::Vectors

namespace vgpu::gpu {

// The kind of jobs with vectors of this row of operations::Vectors. `type` (VGPU_TYPE_*) is one of the row's.
template <class Row>
constexpr uint32_t VectorJob(uint32_t type) {
  return VGPU_JOB_VECTORS + operations::Vectors::Number<Row>(type);
}

}  // namespace vgpu::gpu

struct VgpuJob {
  // Vectors: addresses of operands and result. ADD: a = both operands (left in the low half), b = the
  // sequence half of the guest's done word, c = where that word is.
  uint64_t a;
  uint64_t b;
  uint64_t c;
  uint64_t count;  // elements
  uint64_t* done;  // completion word, written when everything else is visible; null: none
  uint32_t seq;    // its sequence half, of a job that is done; its data half is the sum of an ADD, else 0
  uint32_t kind;   // VGPU_JOB_*. One that the kernel does not know: nothing is computed, and `done` gets
                   // VGPU_ERR_UNSUPPORTED as its code, the low 8 bits of its sequence half
  uint32_t* left;  // zero before and after; the GPU's own memory: counts the blocks that have ended
  // Gets the time at which the kernel had the sum, ns of the GPU's clock; there before `done`; null: none.
  uint64_t* when;
};

struct VgpuBatch {
  VgpuJob jobs[VGPU_BATCH_JOBS];
};
static_assert(sizeof(VgpuJob) == 64 && sizeof(VgpuBatch) <= 4096, "the parameters of a launch are 4 KiB");

#endif  // VGPU_GPU_BATCH_ABI_H_
