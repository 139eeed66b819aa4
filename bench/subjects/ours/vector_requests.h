// SPDX-License-Identifier: Apache-2.0
// Vectors (bench/lib/vectors.h) in a guest's arena, and requests to add them.
#ifndef VGPU_BENCH_SUBJECTS_OURS_VECTOR_REQUESTS_H_
#define VGPU_BENCH_SUBJECTS_OURS_VECTOR_REQUESTS_H_

#include <cstdint>

#include "bench/lib/vectors.h"
#include "guest/client.h"

namespace vgpu::bench {

// What a guest keeps outstanding.
struct VectorPlan {
  uint64_t bytes = 4096;  // of each operand
  uint32_t rings = 1;
  uint32_t depth = 1;  // requests on each ring
};
// Of a region that has room for it.
uint64_t RegionFor(const VectorPlan& plan);

// In the client's arena, never freed.
Vectors VectorsIn(guest::Client& client, uint64_t bytes);
// Staged.
uint32_t SendVectorAdd(guest::Client& client, const Vectors& vectors);
// c = a + a.
uint32_t SendDoubling(guest::Client& client, const Vectors& vectors);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_VECTOR_REQUESTS_H_
