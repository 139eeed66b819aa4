// SPDX-License-Identifier: Apache-2.0
#include "operations/cpu.h"

#include <cassert>

#include "operations/cpu_loops.h"
#include "operations/table.h"

namespace vgpu::operations {
namespace {

#if defined(__x86_64__)
const bool kHasAvx2 = __builtin_cpu_supports("avx2");
#endif

}  // namespace

void Compute(uint32_t number, const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
  assert(number < Vectors::kNumbers);
#if defined(__x86_64__)
  if (kHasAvx2) return kLoops<Avx2, Vectors>[number](a, b, c, begin, end);
#endif
  kLoops<Baseline, Vectors>[number](a, b, c, begin, end);
}

}  // namespace vgpu::operations
