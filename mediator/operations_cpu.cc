// SPDX-License-Identifier: Apache-2.0
#include "mediator/operations_cpu.h"

#include <cassert>
#include <cstddef>

#include "api/vector.h"
#include "ring/memory.h"

namespace vgpu::mediator {
namespace {

constexpr uint64_t kLineBytes = 64;
constexpr uint64_t kAheadBytes = 512;

// In place (c is a or b) each element is read before it is written, and no other element is touched.
//
// The lines of c are often with the core of the guest, which has read the last result there. What a store waits for comes in
// order, and few stores ahead; so the lines are asked for before their turn. (Those of a and b come ahead by themselves.)
template <class T, uint64_t kVectorBytes>
inline __attribute__((always_inline)) void AddElements(const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
  using Vector __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias)) = T;
  constexpr uint64_t kLine = kLineBytes / sizeof(T);
  constexpr uint64_t kAhead = kAheadBytes / sizeof(T);
  const T* x = reinterpret_cast<const T*>(a);
  const T* y = reinterpret_cast<const T*>(b);
  T* z = reinterpret_cast<T*>(c);
  assert(begin <= end);
  uint64_t i = begin;
  const auto add_line = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (const uint64_t next = i + kLine; i < next; i += kVectorBytes / sizeof(T)) {
      *reinterpret_cast<Vector*>(z + i) = *reinterpret_cast<const Vector*>(x + i) + *reinterpret_cast<const Vector*>(y + i);
    }
  };
  while (end - i >= kLine + kAhead) {
    ring::RealMemory::PrefetchForWrite(reinterpret_cast<const uint64_t*>(z + i + kAhead));
    add_line();
  }
  while (end - i >= kLine) add_line();
  for (; i < end; ++i) z[i] = x[i] + y[i];
}

template <uint64_t kVectorBytes>
inline __attribute__((always_inline)) void Add(uint8_t type, const char* a, const char* b, char* c, uint64_t begin,
                                               uint64_t end) {
  switch (type) {
    case VGPU_TYPE_I32: return AddElements<uint32_t, kVectorBytes>(a, b, c, begin, end);
    case VGPU_TYPE_I64: return AddElements<uint64_t, kVectorBytes>(a, b, c, begin, end);
    case VGPU_TYPE_F32: return AddElements<float, kVectorBytes>(a, b, c, begin, end);
    case VGPU_TYPE_F64: return AddElements<double, kVectorBytes>(a, b, c, begin, end);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void AddAvx2(uint8_t type, const char* a, const char* b, char* c, uint64_t begin,
                                             uint64_t end) {
  Add<32>(type, a, b, c, begin, end);
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2");
#endif

}  // namespace

void VectorAddBaseline(uint8_t type, const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
  Add<16>(type, a, b, c, begin, end);
}

void VectorAddCpu(uint8_t type, const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
#if defined(__x86_64__)
  // With wider vectors, more of the lines that another core has just written are on their way at the same time.
  if (kHasAvx2) return AddAvx2(type, a, b, c, begin, end);
#endif
  VectorAddBaseline(type, a, b, c, begin, end);
}

}  // namespace vgpu::mediator
