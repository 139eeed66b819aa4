// SPDX-License-Identifier: Apache-2.0
// What the mediator and an engine process share: one memfd that nobody else sees.
// (A socket is for control: messages.h.)
//
// The area has two ways to the GPU. While the resident kernel is on the GPU, adds go into the resident ring
// (gpu/resident_abi.h), which that kernel reads itself. All else goes into the job ring, a ring like a
// guest's (ring/abi.h): the mediator is the producer, the engine is the consumer, and the GPU writes the
// answer into the slot's done word.
#ifndef VGPU_ENGINE_ENGINE_ABI_H_
#define VGPU_ENGINE_ENGINE_ABI_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "gpu/resident_abi.h"
#include "ring/abi.h"

namespace vgpu::engine {

// ---- the area ----

inline constexpr uint32_t kJobEntries = 64;
inline constexpr uint32_t kJobEpoch = 1;
inline constexpr uint32_t kRegionsMax = VGPU_RESIDENT_RINGS / VGPU_RINGS_MAX;

// The data half of resident_state. The engine may start the kernel only in kAway, and may stop it only in
// kLeaving while `resident_users` is 0. The mediator gives the kernel requests only in kHere, and after it
// has set `resident_users`. Each side stores its own word, then a full fence, then reads the other's.
enum ResidentState : uint32_t { kAway = 0, kHere = 1, kLeaving = 2 };

struct Area {
  alignas(128) uint64_t resident_state;  // engine: ResidentState; seq = how many times the kernel was started
  alignas(128) uint64_t resident_users;  // mediator: not 0 while it may have requests with the kernel
  alignas(128) uint64_t resident_asked;  // mediator: requests given to the kernel; shows that it is idle
  // engine: how many pages of each region it has missed; there before any answer that was computed from them
  alignas(128) std::atomic<uint64_t> lost[kRegionsMax];
  alignas(4096) VgpuResidentRing resident;
  // GPU: when a kernel had each job's sum, ns of the GPU's clock; there before the done word
  alignas(128) uint64_t job_when[kJobEntries];
  alignas(4096) unsigned char jobs[VGPU_SLOTS_OFF + kJobEntries * sizeof(vgpu_slot)];
};

// ---- jobs: submit = kind (VGPU_JOB_*, gpu/batch_abi.h), flags as the type; the arguments: ----

// arg[0] = region << 32 | class (0 low, 1 medium, 2 high)
// arg[1] = elements; ADD: both operands, left in the low half
// arg[2..4] = a, b, c: bytes from the region's start; ADD: arg[2] = the guest's done word,
// arg[3] = its sequence
inline constexpr uint32_t kJobArgs = 5;

// Each job is answered. The code is VGPU_OK, or the worker has refused the job, which nobody has begun:
// VGPU_ERR_UNSUPPORTED, it knows no such kind; VGPU_ERR_INVALID_REQUEST, the operands are not in a region.

enum JobFlags : uint32_t {
  kJobCopies = 1,  // through the copy engines and the GPU's own memory; else operands are used where they lie
  kJobThrottled = 2,  // throttled: leaves most of the bus to others
};

// Bytes of one operand in a job with kJobCopies, at most.
inline constexpr uint64_t kCopyBytesMax = 2560 << 10;

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_ENGINE_ABI_H_
