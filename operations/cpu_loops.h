// SPDX-License-Identifier: Apache-2.0
// The loops of cpu.h for any table of vector operations.
#ifndef VGPU_OPERATIONS_CPU_LOOPS_H_
#define VGPU_OPERATIONS_CPU_LOOPS_H_

#include <array>
#include <cassert>
#include <cstdint>
#include <utility>

#include "operations/element.h"

namespace vgpu::operations {

inline constexpr uint64_t kLineBytes = 64;
inline constexpr uint64_t kAheadBytes = 512;

VGPU_ELEMENT void PrefetchForWrite(const char* line) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*line));  // the builtin means a plain prefetch on baseline x86-64
#else
  __builtin_prefetch(line, 1);
#endif
}

// In place (c is a or b) each element is read before it is written, and no other element is touched.
//
// The lines of c are often with the core of the guest, which has read the last result there. What a store
// waits for comes in order, and few stores ahead; so the lines are asked for before their turn. (Those of a
// and b come ahead by themselves.)
template <class Row, class T, uint64_t kVectorBytes>
VGPU_ELEMENT void ComputeRange(const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
  using Vector __attribute__((vector_size(kVectorBytes))) = T;
  using Place __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias)) = T;
  constexpr uint64_t kLine = kLineBytes / sizeof(T);
  constexpr uint64_t kAhead = kAheadBytes / sizeof(T);
  const T* x = reinterpret_cast<const T*>(a);
  const T* y = reinterpret_cast<const T*>(b);
  T* z = reinterpret_cast<T*>(c);
  assert(begin <= end);
  uint64_t i = begin;
  const auto compute_line = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (const uint64_t next = i + kLine; i < next; i += kVectorBytes / sizeof(T)) {
      const Vector u = *reinterpret_cast<const Place*>(x + i);
      const Vector v = *reinterpret_cast<const Place*>(y + i);
      Vector w;
      Row::Compute(u, v, &w);
      *reinterpret_cast<Place*>(z + i) = w;
    }
  };
  while (end - i >= kLine + kAhead) {
    PrefetchForWrite(reinterpret_cast<const char*>(z + i + kAhead));
    compute_line();
  }
  while (end - i >= kLine) compute_line();
  for (; i < end; ++i) {
    const T u = x[i];
    const T v = y[i];
    Row::Compute(u, v, &z[i]);
  }
}

// Computes elements [begin, end).
using Loop = void (*)(const char* a, const char* b, char* c, uint64_t begin, uint64_t end);

// What every processor of this kind has.
struct Baseline {
  template <class Row, class T>
  static void Compute(const char* a, const char* b, char* c, uint64_t begin, uint64_t end) {
    ComputeRange<Row, T, 16>(a, b, c, begin, end);
  }
};

#if defined(__x86_64__)
// With wider vectors, more of the lines that another core has just written are on their way at the same time.
struct Avx2 {
  template <class Row, class T>
  __attribute__((target("avx2"))) static void Compute(const char* a, const char* b, char* c, uint64_t begin,
                                                      uint64_t end) {
    ComputeRange<Row, T, 32>(a, b, c, begin, end);
  }
};
#endif

template <class Way, class At>
constexpr Loop LoopOf() {
  if constexpr (At::kExists) {
    return &Way::template Compute<typename At::Row, typename At::T>;
  } else {
    return nullptr;
  }
}

template <class Way, class Table, uint32_t... kEach>
constexpr std::array<Loop, sizeof...(kEach)> MakeLoops(std::integer_sequence<uint32_t, kEach...>) {
  return {{LoopOf<Way, typename Table::template At<kEach>>()...}};
}

// By the table's numbers; null where there is no such one.
template <class Way, class Table>
inline constexpr std::array<Loop, Table::kNumbers> kLoops =
    MakeLoops<Way, Table>(std::make_integer_sequence<uint32_t, Table::kNumbers>());

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_CPU_LOOPS_H_
