// SPDX-License-Identifier: Apache-2.0
// What the host and the resident kernel share: C++ for both. The host maps it and registers it with CUDA; no
// guest ever sees it. One writer a line; each word is 32 bits of data (low) and 32 bits of lap (high).
#ifndef VGPU_GPU_RESIDENT_ABI_H_
#define VGPU_GPU_RESIDENT_ABI_H_

#include <cstddef>
#include <cstdint>

// One thread each. Multiples of a warp.
#define VGPU_RESIDENT_ENTRIES 256u
// Rings of guests whose slots it may write to.
#define VGPU_RESIDENT_RINGS 2048u

// The words of an entry. The kernel looks at the first two until they are there, then at the others: they may
// be stored in any order.
#define VGPU_RESIDENT_A 0    // data = left operand
#define VGPU_RESIDENT_B 1    // data = right operand
#define VGPU_RESIDENT_TO 2   // data = index into slots[] << VGPU_RESIDENT_SLOT_BITS | slot
#define VGPU_RESIDENT_TAG 3  // data = sequence half of the slot's done word: tag << 8 | code

// Two looks of one thread are about 2 us apart; a time slice of another process takes hundreds.
#define VGPU_RESIDENT_GAP_NS 100000u

#define VGPU_RESIDENT_SLOT_BITS 12u  // a ring has at most 4096 slots
#define VGPU_RESIDENT_SLOT_WORDS 8u  // of 8 bytes: submit, done, arguments

struct VgpuResidentEntry {
  uint64_t word[4];
};
static_assert(sizeof(VgpuResidentEntry) == 32, "two to a cache line of the host, one to a sector of the GPU");

struct VgpuResidentRing {
  // Written by the host. An entry's laps count from 1 in the life of one kernel; before a launch everything
  // here but slots[] is zeroed.
  alignas(128) VgpuResidentEntry entries[VGPU_RESIDENT_ENTRIES];
  alignas(128) uint64_t stop;  // not 0: leave
  // Written by the host before the first request that names it: device addresses of rings' slots.
  alignas(128) uint64_t* slots[VGPU_RESIDENT_RINGS];
  // Written by the kernel: lap and result of the last request of each entry. The done word in the slot, which
  // is the guest's, may become visible before it or after it.
  alignas(128) uint64_t finished[VGPU_RESIDENT_ENTRIES];
  // Written by the kernel: how often it was not on the GPU for VGPU_RESIDENT_GAP_NS or more, as another
  // process was.
  alignas(128) uint64_t gaps;
};
static_assert(offsetof(VgpuResidentRing, stop) % 128 == 0);
static_assert(offsetof(VgpuResidentRing, finished) % 128 == 0);

#endif  // VGPU_GPU_RESIDENT_ABI_H_
