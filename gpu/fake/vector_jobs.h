// SPDX-License-Identifier: Apache-2.0
// Jobs with vectors as the fake devices run them, for any table of operations.
#ifndef VGPU_GPU_FAKE_VECTOR_JOBS_H_
#define VGPU_GPU_FAKE_VECTOR_JOBS_H_

#include <cstdint>

#include "gpu/batch_abi.h"
#include "gpu/cuda_driver.h"
#include "operations/plain.h"

namespace vgpu::gpu::fake {

// `check(address, count, bytes of an element)` says whether a device may use such a vector.
template <class Row, class T, class Check>
CuResult ComputeVector(uint64_t a, uint64_t b, uint64_t c, uint64_t count, Check check) {
  if (count == 0) return kCuSuccess;
  for (const uint64_t vector : {a, b, c}) {
    if (const CuResult checked = check(vector, count, sizeof(T)); checked != kCuSuccess) return checked;
  }
  operations::ComputePlainly<Row>(reinterpret_cast<const T*>(a), reinterpret_cast<const T*>(b),
                                  reinterpret_cast<T*>(c), count);
  return kCuSuccess;
}

// False: the job is none with vectors of this table.
template <class Table, class Check>
bool RunVectorJob(const VgpuJob& job, Check check, CuResult* result) {
  return Table::Visit(job.kind - VGPU_JOB_VECTORS, [&](auto at) {
    using At = decltype(at);
    *result = ComputeVector<typename At::Row, typename At::T>(job.a, job.b, job.c, job.count, check);
  });
}

}  // namespace vgpu::gpu::fake

#endif  // VGPU_GPU_FAKE_VECTOR_JOBS_H_
