// SPDX-License-Identifier: Apache-2.0
// Vectors, element by element: what the loops and the kernels must do, without their haste. For tests, and
// for the driver that stands in for a GPU there.
#ifndef VGPU_OPERATIONS_PLAIN_H_
#define VGPU_OPERATIONS_PLAIN_H_

#include <cstdint>

namespace vgpu::operations {

// c may be a or b.
template <class Row, class T>
void ComputePlainly(const T* a, const T* b, T* c, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const T x = a[i];
    const T y = b[i];
    Row::Compute(x, y, &c[i]);
  }
}

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_PLAIN_H_
