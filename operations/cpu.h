// SPDX-License-Identifier: Apache-2.0
// The vector operations on the CPU. Integers wrap like two's complement;
// floats are IEEE 754, rounded to nearest.
#ifndef VGPU_OPERATIONS_CPU_H_
#define VGPU_OPERATIONS_CPU_H_

#include <cstdint>

namespace vgpu::operations {

// Computes elements [begin, end) of c from those of a and b. `number` is one of Vectors (table.h), which
// exists. The operands are naturally aligned; c is a, or b, or overlaps neither. Any thread.
void Compute(uint32_t number, const char* a, const char* b, char* c, uint64_t begin, uint64_t end);

}  // namespace vgpu::operations

#endif  // VGPU_OPERATIONS_CPU_H_
