// SPDX-License-Identifier: Apache-2.0
// What goes through a VM's port: VectorRequest, the elements of a, those of b; and back VectorResponse and,
// if its status is kOk, the sums. Two numbers are vectors of one element.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_VECTOR_MESSAGE_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_VECTOR_MESSAGE_H_

#include <cstdint>

namespace vgpu::bench::socket {

inline constexpr uint32_t kVectorVersion = 0x00010001;
inline constexpr uint64_t kElementsMax = 16 << 20;

struct VectorRequest {
  uint32_t version;
  uint32_t request_id;
  uint64_t count;  // elements, 1 to kElementsMax
};
static_assert(sizeof(VectorRequest) == 16);

enum VectorStatus : uint32_t { kOk = 0, kRefused = 1 };

struct VectorResponse {
  uint32_t status;
  uint32_t request_id;
  uint64_t count;  // of sums that follow
};
static_assert(sizeof(VectorResponse) == 16);

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_VECTOR_MESSAGE_H_
