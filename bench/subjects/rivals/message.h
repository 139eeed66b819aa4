// SPDX-License-Identifier: Apache-2.0
// What the rivals carry: a request, and in the same form its reply.
#ifndef VGPU_BENCH_SUBJECTS_RIVALS_MESSAGE_H_
#define VGPU_BENCH_SUBJECTS_RIVALS_MESSAGE_H_

#include <cstdint>

namespace vgpu::bench {

struct alignas(64) Message {
  uint64_t id;
  uint32_t opcode;  // of a request; the code, of a reply
  uint32_t type;
  uint32_t a;  // of a request; the sum, of a reply
  uint32_t b;
  uint64_t rest[5];
};
static_assert(sizeof(Message) == 64);

// The least that an addition needs: four of these share a line.
struct SmallMessage {
  uint32_t id;
  uint32_t opcode;
  uint32_t a;
  uint32_t b;
};
static_assert(sizeof(SmallMessage) == 16);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_RIVALS_MESSAGE_H_
