// SPDX-License-Identifier: Apache-2.0
// The elements of vectors, and sums of two of them. C++17, for the host and for CUDA.
#ifndef VGPU_OPERATIONS_ELEMENT_H_
#define VGPU_OPERATIONS_ELEMENT_H_

#include <cstdint>
#include <tuple>
#include <type_traits>

#include "api/vector.h"

// Before a function that computes an element. It is inlined always: on the host it becomes part of loops that
// are compiled for one kind of processor.
#ifdef __CUDACC__
#define VGPU_ELEMENT __host__ __device__ __forceinline__
#else
#define VGPU_ELEMENT inline __attribute__((always_inline))
#endif

namespace vgpu::operations {

// By VGPU_TYPE_*. Integers are unsigned here, because unsigned ones wrap.
using ElementTypes = std::tuple<uint32_t, uint64_t, float, double>;
inline constexpr uint32_t kElementTypes = std::tuple_size_v<ElementTypes>;
static_assert(VGPU_TYPE_I32 == 0 && VGPU_TYPE_I64 == 1 && VGPU_TYPE_F32 == 2 && VGPU_TYPE_F64 == 3);

template <uint32_t kType>
using Element = std::tuple_element_t<kType, ElementTypes>;

// A set of types: bit VGPU_TYPE_* for each.
inline constexpr uint32_t kEveryType = (1u << kElementTypes) - 1;

// Bytes of one element; 0: no such type.
constexpr uint64_t ElementBytes(uint32_t type) {
  constexpr uint64_t kBytes[] = {sizeof(Element<0>), sizeof(Element<1>), sizeof(Element<2>),
                                 sizeof(Element<3>)};
  static_assert(sizeof kBytes / sizeof kBytes[0] == kElementTypes);
  return type < kElementTypes ? kBytes[type] : 0;
}

// z = x + y. Integers wrap. Floats are rounded to nearest and never fused with another operation, so that the
// GPU has the same bits as the CPU, but for a NaN's payload. On the host T may also be a vector of elements
// (GCC's vector extension), which is why they are passed by reference.
template <class T>
VGPU_ELEMENT void Plus(const T& x, const T& y, T* z) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, float>) {
    *z = __fadd_rn(x, y);
  } else if constexpr (std::is_same_v<T, double>) {
    *z = __dadd_rn(x, y);
  } else
#endif
  {
    *z = x + y;
  }
}

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_ELEMENT_H_
