// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/payload.h"

#include "api/vector.h"
#include "operations/cpu.h"
#include "operations/table.h"

namespace vgpu::bench {

void DoublePayload(const uint32_t* payload, uint32_t* result, uint64_t bytes) {
  const char* in = reinterpret_cast<const char*>(payload);
  constexpr uint32_t kAdd = operations::Vectors::Number<operations::VectorAdd>(VGPU_TYPE_I32);
  operations::Compute(kAdd, in, in, reinterpret_cast<char*>(result), 0, bytes / sizeof(uint32_t));
}

void Payloads::WriteNext(uint32_t* payload) {
  ++serial_;
  for (uint64_t i = 0; i < count_; ++i) payload[i] = Element(i);
}

bool Payloads::IsDoubled(const uint32_t* result) const {
  uint32_t differing = 0;
  for (uint64_t i = 0; i < count_; ++i) differing |= result[i] ^ (2 * Element(i));
  return differing == 0;
}

}  // namespace vgpu::bench
