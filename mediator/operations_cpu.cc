// SPDX-License-Identifier: Apache-2.0
#include "mediator/operations_cpu.h"

#include <cstddef>

#include "ring/abi.h"

namespace vgpu::mediator {
namespace {

// In place (c is a or b) each element is read before it is written, and no other element is touched.
template <class T>
inline __attribute__((always_inline)) void AddElements(const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
  const T* x = reinterpret_cast<const T*>(a);
  const T* y = reinterpret_cast<const T*>(b);
  T* z = reinterpret_cast<T*>(c);
  for (uint64_t i = begin; i < end; ++i) z[i] = x[i] + y[i];
}

}  // namespace

// Twice, and the loader picks: with wider vectors, more of the lines that another core has just written are on their way at
// the same time.
#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
void VectorAddCpu(uint8_t type, const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
  switch (type) {
    case VGPU_TYPE_I32: return AddElements<uint32_t>(a, b, c, begin, end);
    case VGPU_TYPE_I64: return AddElements<uint64_t>(a, b, c, begin, end);
    case VGPU_TYPE_F32: return AddElements<float>(a, b, c, begin, end);
    case VGPU_TYPE_F64: return AddElements<double>(a, b, c, begin, end);
  }
}

}  // namespace vgpu::mediator
