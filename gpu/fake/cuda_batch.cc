// SPDX-License-Identifier: Apache-2.0
// The kernels that end by themselves. What a GPU would trap on breaks the context here, too: an operand that is not in
// the GPU's reach, one that is not aligned.
#include <chrono>

#include "gpu/batch_abi.h"
#include "gpu/fake/cuda_kernels.h"
#include "gpu/fake/cuda_memory.h"

namespace vgpu::gpu::fake {
namespace {

template <class T>
CuResult CheckVector(uint64_t address, uint64_t count) {
  uint64_t bytes;
  if (__builtin_mul_overflow(count, sizeof(T), &bytes) || !Reachable(address, bytes)) return kIllegalAddress;
  return address % sizeof(T) == 0 ? kCuSuccess : kMisalignedAddress;
}

template <class T>
CuResult VectorAdd(uint64_t a, uint64_t b, uint64_t c, uint64_t count) {
  if (count == 0) return kCuSuccess;
  for (const uint64_t vector : {a, b, c}) {
    if (const CuResult checked = CheckVector<T>(vector, count); checked != kCuSuccess) return checked;
  }
  const T* x = reinterpret_cast<const T*>(a);
  const T* y = reinterpret_cast<const T*>(b);
  T* z = reinterpret_cast<T*>(c);
  for (uint64_t i = 0; i < count; ++i) z[i] = x[i] + y[i];
  return kCuSuccess;
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

CuResult Compute(const VgpuJob& job, uint32_t* data) {
  switch (job.kind) {
    case VGPU_JOB_VADD_I32: return VectorAdd<uint32_t>(job.a, job.b, job.c, job.count);
    case VGPU_JOB_VADD_I64: return VectorAdd<uint64_t>(job.a, job.b, job.c, job.count);
    case VGPU_JOB_VADD_F32: return VectorAdd<float>(job.a, job.b, job.c, job.count);
    case VGPU_JOB_VADD_F64: return VectorAdd<double>(job.a, job.b, job.c, job.count);
    case VGPU_JOB_ADD:
      *data = static_cast<uint32_t>(job.a) + static_cast<uint32_t>(job.a >> 32);
      return StoreWord(job.c, job.b << 32 | *data, __ATOMIC_RELAXED);
    case VGPU_JOB_FAULT: return kIllegalAddress;
  }
  return kCuSuccess;
}

uint64_t Nanoseconds() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

// Blocks that share a job count themselves in `left`.
CuResult Run(const VgpuJob& job, unsigned blocks) {
  uint32_t data = 0;
  if (const CuResult computed = Compute(job, &data); computed != kCuSuccess) return computed;
  if (blocks > 1 && !Reachable(reinterpret_cast<uint64_t>(job.left), sizeof *job.left)) return kIllegalAddress;
  if (job.when != nullptr) {
    const CuResult stamped = StoreWord(reinterpret_cast<uint64_t>(job.when), Nanoseconds(), __ATOMIC_RELAXED);
    if (stamped != kCuSuccess) return stamped;
  }
  if (job.done == nullptr) return kCuSuccess;
  return StoreWord(reinterpret_cast<uint64_t>(job.done), uint64_t{job.seq} << 32 | data, __ATOMIC_RELEASE);
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
  return [batch = launch.parameter<VgpuBatch>(0), jobs = launch.grid_y, blocks = launch.grid_x](CuContext context) {
    return RunBatch(context, batch, jobs, blocks);
  };
}

Work PrepareNativeAdd(const Launch& launch) {
  return [a = launch.parameter<uint64_t>(0), b = launch.parameter<uint64_t>(1), c = launch.parameter<uint64_t>(2),
          count = launch.parameter<uint64_t>(3)](CuContext) { return VectorAdd<uint32_t>(a, b, c, count); };
}

Work PrepareBusy(const Launch& launch) {
  return [ns = launch.parameter<uint64_t>(0)](CuContext context) {
    Idle(context, std::chrono::nanoseconds(ns));
    return kCuSuccess;
  };
}

}  // namespace vgpu::gpu::fake
