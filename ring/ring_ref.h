// SPDX-License-Identifier: Apache-2.0
// Where the shared words of one ring lie, and what a copied slot looks like. Pointers only:
// no checks, no state.
#ifndef VGPU_RING_RING_REF_H_
#define VGPU_RING_RING_REF_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "ring/abi.h"
#include "ring/memory.h"

namespace vgpu::ring {

inline constexpr uint32_t kSlotWords = sizeof(vgpu_slot) / sizeof(uint64_t);

// M is an ordering policy (ring/memory.h). The words belong to a mapping that outlives this.
template <class M>
struct RingRef {
  using Word = typename M::Word;

  Word* epoch_req;
  Word* call_event;
  Word* epoch_ack;
  Word* kick_event;
  Word* slots;  // kSlotWords words for each slot
  uint32_t entries_log2;

  uint32_t entries() const { return 1u << entries_log2; }
  uint32_t mask() const { return entries() - 1; }
  Word* submit(uint32_t idx) const { return slots + size_t{idx & mask()} * kSlotWords; }
  Word* done(uint32_t idx) const { return submit(idx) + 1; }
  Word* arg(uint32_t idx, uint32_t i) const { return submit(idx) + 2 + i; }
  uint32_t tag(uint32_t epoch, uint32_t idx) const { return vgpu_tag(epoch, idx, entries_log2); }
};

// A ring at `base` in mapped memory: control lines, then `entries` slots (a power of two;
// the caller has checked).
inline RingRef<RealMemory> RingAt(void* base, uint32_t entries) {
  auto* control = static_cast<vgpu_ring_control*>(base);
  auto* slots = reinterpret_cast<uint64_t*>(static_cast<char*>(base) + VGPU_SLOTS_OFF);
  return {&control->epoch_req,
          &control->call_event,
          &control->epoch_ack,
          &control->kick_event,
          slots,
          static_cast<uint32_t>(std::countr_zero(entries))};
}

// A private copy of a request, taken with one read of each word. Nobody can change it any more.
struct SlotCopy {
  uint64_t submit;
  std::array<uint64_t, VGPU_SLOT_ARGS> arg;
};

struct Answer {
  uint32_t code;  // VGPU_OK or VGPU_ERR_*
  uint32_t data;
};

}  // namespace vgpu::ring

#endif  // VGPU_RING_RING_REF_H_
