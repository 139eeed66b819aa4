// SPDX-License-Identifier: Apache-2.0
// All bounds of turns and pieces: what one VM, or one class, may take before the others have their turn.
//
// "Strict priority over all VMs" holds for each place where requests run (the lane's thread, the CPU's
// workers, a GPU): of what waits for it, the highest class goes first, and VMs of one class take turns.
// What a place has begun, it finishes. So a request of the highest class waits for one iteration of the
// lane at most (kTakeNs, kCallNs, kInlineMax), and then for what its place has taken before:
// kPiecesPerWorker pieces for each worker, or on a GPU kGpuBytesMax of pieces and the small requests that
// the engine's rings hold. Places know nothing of each other: a low request on an idle GPU does not wait
// for a high one on the CPU. There are two exceptions. Vectors on a GPU are throttled while a higher class
// asks that GPU for small requests (kThrottledNs). And what a failed engine had goes to the workers before
// what waits for them, whatever its class.
#ifndef VGPU_MEDIATOR_SCHED_POLICY_H_
#define VGPU_MEDIATOR_SCHED_POLICY_H_

#include <cstddef>
#include <cstdint>

namespace vgpu::mediator::policy {

// ---- one iteration of a lane ----

inline constexpr uint32_t kTakeMax = 32;     // requests of one VM
inline constexpr int64_t kTakeNs = 10'000;   // of all takes together; the other rings have their turn later
inline constexpr size_t kRingsPerClock = 4;  // rings taken from between two readings of the clock
inline constexpr uint32_t kChecksMax = 64;   // rings of one class that are checked for requests
inline constexpr uint32_t kInlineMax = 256;  // InlineCost (operations.h) of what the lane runs inline
inline constexpr int64_t kCallNs = 20'000;   // of all calls together; the other guests are called later
// Slots of one ring that is reset, fenced or taken up again.
inline constexpr uint32_t kMaintenanceSlots = 64;
inline constexpr size_t kArmsMax = 64;  // rings of one class that are armed
// An iteration that takes longer is a long one: was some VM's memory the cause?
inline constexpr int64_t kLongIterationNs = 300'000;

// A ring is muted for kMutedNs after so many kicks in a row that brought no request.
inline constexpr uint32_t kVainKicksMax = 16;
inline constexpr int64_t kMutedNs = 10'000'000;

// ---- which requests run inline ----

// Bytes of one operand that the lane adds by itself: 4 KiB whose lines come from another core take 0.9 us
// more than a NOP; by way of a worker they take 3.7 us.
inline constexpr uint64_t kInlineBytes = 4096;
// Bytes of one operand that cost as much as a small request.
inline constexpr uint64_t kInlineBytesPerCost = 128;

// ---- the CPU's workers ----

// Bytes of one operand in a worker's piece: about 50 us.
inline constexpr uint64_t kWorkerPieceBytes = 128 << 10;
// While a worker runs one piece another one waits, so that no worker idles during the lane's wake-up. A
// request of the highest class that waits is at most two pieces away from a worker.
inline constexpr uint32_t kPiecesPerWorker = 2;
// A worker's piece that takes longer is a long one: was some VM's memory the cause?
inline constexpr int64_t kLongPieceNs = 300'000;

// ---- a GPU ----

// Small requests of one VM in its turn: 0.4 us of the GPU.
inline constexpr uint32_t kSlotsPerTurn = 16;
// Jobs in the engine's job ring that small requests leave free: while there is no resident kernel, those of a
// low class must not keep pieces of a higher one out.
inline constexpr uint32_t kJobsKeptForPieces = 16;
// Bytes of one operand in a piece whose operands are used where they lie, and in one that is copied. On an
// H100 the kernel reads the first in 75 us over the bus, and the copy engines take 95 us for the second.
inline constexpr uint64_t kDirectPieceBytes = 1 << 20;
inline constexpr uint64_t kCopiedPieceBytes = 2560 << 10;
// The same in a throttled piece: 50 us at a tenth of the bus.
inline constexpr uint64_t kThrottledPieceBytes = 128 << 10;
// Bytes of one operand in all pieces that an engine has. While it has fewer, it gets another one: so it has
// work for a few hundred microseconds, and the scheduler decides what the GPU does next. A throttled piece
// needs the second bound.
inline constexpr uint64_t kGpuBytesMax = 6 << 20;
inline constexpr uint64_t kThrottledBytesMax = 512 << 10;
// For so long after a small request of a higher class, vectors are throttled.
inline constexpr int64_t kThrottledNs = 1'000'000;

}  // namespace vgpu::mediator::policy

#endif  // VGPU_MEDIATOR_SCHED_POLICY_H_
