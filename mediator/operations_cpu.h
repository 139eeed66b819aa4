// SPDX-License-Identifier: Apache-2.0
// The arithmetic on the CPU. Integers wrap like two's complement; floats are IEEE 754 round-to-nearest.
#ifndef VGPU_MEDIATOR_OPERATIONS_CPU_H_
#define VGPU_MEDIATOR_OPERATIONS_CPU_H_

#include <cstdint>

namespace vgpu::mediator {

inline int32_t AddWrapping(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

// c[i] = a[i] + b[i] for i in [begin, end). The operands are naturally aligned; c is a, or b, or overlaps neither.
// `type` is VGPU_TYPE_*, checked before.
void VectorAddCpu(uint8_t type, const char* a, const char* b, char* c, uint64_t begin, uint64_t end);

// The same with what every processor of this kind has. VectorAddCpu calls it where there is no better way.
void VectorAddBaseline(uint8_t type, const char* a, const char* b, char* c, uint64_t begin, uint64_t end);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_OPERATIONS_CPU_H_
