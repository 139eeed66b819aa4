// SPDX-License-Identifier: Apache-2.0
// The kernels that end by themselves. What a GPU would trap on breaks the context here, too: an operand that
// is not in the GPU's reach, one that is not aligned.
#include <chrono>

#include "api/codes.h"
#include "gpu/batch_abi.h"
#include "gpu/fake/cuda_kernels.h"
#include "gpu/fake/cuda_memory.h"
#include "gpu/fake/vector_jobs.h"
#include "operations/table.h"

namespace vgpu::gpu::fake {
namespace {

CuResult CheckVector(uint64_t address, uint64_t count, uint64_t element) {
  uint64_t bytes;
  if (__builtin_mul_overflow(count, element, &bytes) || !Reachable(address, bytes)) return kIllegalAddress;
  return address % element == 0 ? kCuSuccess : kMisalignedAddress;
}

CuResult StoreWord(uint64_t address, uint64_t value, int order) {
  if (!Reachable(address, sizeof value)) return kIllegalAddress;
  if (address % sizeof value != 0) return kMisalignedAddress;
  auto* const word = reinterpret_cast<uint64_t*>(address);
  if (order == __ATOMIC_RELEASE) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
  } else {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
  }
  return kCuSuccess;
}

CuResult Compute(const VgpuJob& job, uint32_t* data, uint32_t* code) {
  switch (job.kind) {
    case VGPU_JOB_ADD:
      *data = static_cast<uint32_t>(job.a) + static_cast<uint32_t>(job.a >> 32);
      return StoreWord(job.c, job.b << 32 | *data, __ATOMIC_RELAXED);
    case VGPU_JOB_FAULT: return kIllegalAddress;
  }
  CuResult result = kCuSuccess;
  if (!RunVectorJob<operations::Vectors>(job, CheckVector, &result)) *code = VGPU_ERR_UNSUPPORTED;
  return result;
}

uint64_t Nanoseconds() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}

// Blocks that share a job count themselves in `left`.
CuResult Run(const VgpuJob& job, unsigned blocks) {
  uint32_t data = 0;
  uint32_t code = VGPU_OK;
  if (const CuResult computed = Compute(job, &data, &code); computed != kCuSuccess) return computed;
  if (blocks > 1 && !Reachable(reinterpret_cast<uint64_t>(job.left), sizeof *job.left))
    return kIllegalAddress;
  if (job.when != nullptr) {
    const CuResult stamped = StoreWord(reinterpret_cast<uint64_t>(job.when), Nanoseconds(), __ATOMIC_RELAXED);
    if (stamped != kCuSuccess) return stamped;
  }
  if (job.done == nullptr) return kCuSuccess;
  return StoreWord(reinterpret_cast<uint64_t>(job.done), uint64_t{job.seq | code} << 32 | data,
                   __ATOMIC_RELEASE);
}

// Jobs run beside one another: those that hang keep no other from its end.
CuResult RunBatch(CuContext context, const VgpuBatch& batch, unsigned jobs, unsigned blocks) {
  bool hangs = false;
  for (unsigned i = 0; i < jobs; ++i) {
    const VgpuJob& job = batch.jobs[i];
    if (job.kind == VGPU_JOB_HANG) {
      hangs = true;
    } else if (const CuResult ran = Run(job, blocks); ran != kCuSuccess) {
      return ran;
    }
  }
  if (hangs) IdleForEver(context);
  return kCuSuccess;
}

}  // namespace

Work PrepareBatch(const Launch& launch) {
  if (launch.grid_y > VGPU_BATCH_JOBS) return nullptr;
  return [batch = launch.parameter<VgpuBatch>(0), jobs = launch.grid_y,
          blocks = launch.grid_x](CuContext context) { return RunBatch(context, batch, jobs, blocks); };
}

Work PrepareNativeAdd(const Launch& launch) {
  return [a = launch.parameter<uint64_t>(0), b = launch.parameter<uint64_t>(1),
          c = launch.parameter<uint64_t>(2), count = launch.parameter<uint64_t>(3)](CuContext) {
    return ComputeVector<operations::VectorAdd, uint32_t>(a, b, c, count, CheckVector);
  };
}

Work PrepareBusy(const Launch& launch) {
  return [ns = launch.parameter<uint64_t>(0)](CuContext context) {
    Idle(context, std::chrono::nanoseconds(ns));
    return kCuSuccess;
  };
}

}  // namespace vgpu::gpu::fake
