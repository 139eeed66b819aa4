// SPDX-License-Identifier: Apache-2.0
// For tests: the memory of one ring, and its guest. The journal outlives servers, as it outlives processes.
#ifndef VGPU_SERVE_TEST_RING_H_
#define VGPU_SERVE_TEST_RING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "ring/abi.h"
#include "ring/epoch.h"
#include "ring/producer.h"

namespace vgpu::serve {

class TestRing {
 public:
  using Memory = ring::RealMemory;
  static constexpr uint32_t kEntries = 8;

  char* base() { return reinterpret_cast<char*>(lines_.data()); }
  ring::RingRef<Memory> ref() { return ring::RingAt(base(), kEntries); }
  vgpu_journal* journal() { return &journal_; }
  uint64_t ack() { return Memory::LoadAcquire(ref().epoch_ack); }

  uint32_t Ask(bool open) { return epoch_ = ring::RequestEpoch(ref(), open); }
  bool Answered(uint32_t state) { return ack() == vgpu_word(state, epoch_); }

  // The guest's side of the epoch that it asked for last.
  ring::Producer<Memory>& guest() { return *guest_; }
  void Begin() { guest_ = std::make_unique<ring::Producer<Memory>>(ref(), epoch_); }
  // Publishes one request, and returns its index.
  uint32_t Submit(uint32_t opcode, uint64_t arg = 0, uint64_t more = 0) {
    const uint64_t args[] = {arg, more};
    const uint32_t idx = guest_->Stage(opcode, 0, args, 2);
    guest_->Publish();
    return idx;
  }
  // Its answer; code 255: none.
  ring::Answer Take(uint32_t idx) {
    ring::Answer answer{255, 0};
    guest_->Take(idx, &answer);
    return answer;
  }

 private:
  struct alignas(VGPU_LINE_BYTES) Line {
    char bytes[VGPU_LINE_BYTES];
  };

  std::vector<Line> lines_{(VGPU_SLOTS_OFF + kEntries * sizeof(vgpu_slot)) / VGPU_LINE_BYTES};
  vgpu_journal journal_{};
  uint32_t epoch_ = 0;
  std::unique_ptr<ring::Producer<Memory>> guest_;
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_TEST_RING_H_
