// SPDX-License-Identifier: Apache-2.0
// All bounds of turns and pieces: what one VM, or one class, may take before the others have their turn.
//
// "Strict priority over all VMs" holds for each place where requests run (the thread that serves rings, the CPU's workers, a
// GPU): of what waits for it, the highest class goes first, and VMs of one class take turns. What a place has begun, it
// finishes. So a request of the highest class waits for one turn of the loop at most (kTakeNs, kCallNs, kInlineMax), and then
// for what its place has taken before: kPiecesPerWorker pieces for each worker, or what a GPU's rings hold. Places know
// nothing of each other: a low request on an idle GPU does not wait for a high one on the CPU.
#ifndef VGPU_MEDIATOR_SCHED_POLICY_H_
#define VGPU_MEDIATOR_SCHED_POLICY_H_

#include <cstddef>
#include <cstdint>

namespace vgpu::mediator::policy {

// ---- one turn of the loop ----

inline constexpr uint32_t kTakeMax = 32;   // requests of one VM
inline constexpr int64_t kTakeNs = 10'000;  // of all takes together; the rest have their turn in the next one
inline constexpr size_t kRingsPerClock = 4;  // rings taken from between two looks at the clock
inline constexpr uint32_t kLooksMax = 64;  // rings of one class that are looked at
inline constexpr uint32_t kInlineMax = 256;  // InlineCost (operations.h) of what the loop runs itself
inline constexpr int64_t kCallNs = 20'000;  // of all calls together; the rest of the guests are called in the next turn
inline constexpr uint32_t kChoreSlots = 64;  // slots of one ring that is reset, fenced or taken up again
inline constexpr size_t kArmsMax = 64;  // rings of one class that are armed

// ---- which requests run where, and in which pieces ----

// Bytes of one operand that the loop adds by itself: 4 KiB whose lines come from another core take 0.9 us more than a NOP; by
// way of a worker they take 3.7 us.
inline constexpr uint64_t kInlineBytes = 4096;
// Bytes of one operand that cost as much as a request that needs its slot only.
inline constexpr uint64_t kInlineBytesPerCost = 128;
// Bytes of one operand in a worker's piece: about 50 us.
inline constexpr uint64_t kWorkerPieceBytes = 128 << 10;
// While a worker runs one piece another one waits, so that no worker idles during the loop's wake-up. A waiting request of
// the highest class is at most two pieces away from a worker.
inline constexpr uint32_t kPiecesPerWorker = 2;
// Requests that need their slot only, of one VM in its turn on a GPU: 0.4 us of the GPU.
inline constexpr uint32_t kSlotsPerTurn = 16;

}  // namespace vgpu::mediator::policy

#endif  // VGPU_MEDIATOR_SCHED_POLICY_H_
