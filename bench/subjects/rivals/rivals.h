// SPDX-License-Identifier: Apache-2.0
// Whom we are measured against, each with a process of its own that answers.
#ifndef VGPU_BENCH_SUBJECTS_RIVALS_RIVALS_H_
#define VGPU_BENCH_SUBJECTS_RIVALS_RIVALS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "bench/lib/contest.h"
#include "bench/lib/payload.h"

namespace vgpu::bench {

// How a loop that found nothing goes on: at once, or after a pause instruction.
enum class Polling : uint8_t { kEager, kRelaxed };
const char* PollingName(Polling polling);
inline void Rest(Polling polling) {
  if (polling == Polling::kRelaxed) Relax();
}

// Two words on two lines, one written by each side: the least that a round trip can cost without a shared
// line. Carries nothing.
std::unique_ptr<Contestant> MakeRawPingPong(Polling polling);
// Two of them by way of the same lines, each ping timed by itself, and before each the client rewrites a
// payload: the first server leaves it alone, the second copies it to where its result belongs (memcpy) before
// it answers.
Contestants MakeRawsBesidePayload(const PayloadPlace& place, Polling polling);

// Two queues, 64-byte requests one way and 64-byte replies the other. `depth` requests are kept outstanding;
// `batch` are sent together, and up to as many are received together where the queue can.
struct PairPlan {
  uint32_t depth = 1;
  uint32_t batch = 1;
  Polling polling = Polling::kRelaxed;
  // 0: two numbers there and their sum back; else so many i32 there, doubled back (depth 1).
  uint64_t payload_bytes = 0;
};
// boost::lockfree::spsc_queue of fixed capacity in shared memory; its push(ptr, n) and pop(ptr, n).
std::unique_ptr<Contestant> MakeBoostPair(const PairPlan& plan);
// The same with messages of 16 bytes, the least that an addition needs; payload_bytes is 0.
std::unique_ptr<Contestant> MakeSmallBoostPair(const PairPlan& plan);
// moodycamel::ReaderWriterQueue with its blocks preallocated in shared memory; try_enqueue and try_dequeue,
// one by one: it has no batch interface.
std::unique_ptr<Contestant> MakeReaderWriterPair(const PairPlan& plan);

// The layouts of virtio 1.2, both sides polling, one descriptor for each request, whose buffer the reply is
// written to; the order is that of the requests, so a free list is not needed (VIRTIO_F_IN_ORDER). No event
// index, no indirect tables.
std::unique_ptr<Contestant> MakeVirtioSplit(const PairPlan& plan);
std::unique_ptr<Contestant> MakeVirtioPacked(const PairPlan& plan);
// Why a rival cannot take part in a plan; no reason: it can.
struct Absence {
  std::string why;
  bool here = false;  // this machine or build lacks it: a comparison with "all rivals" is none
};
// DPDK's rte_ring of 64-byte elements, single producer and consumer, bursts. Absent where this was built
// without it.
std::unique_ptr<Contestant> MakeDpdkPair(const PairPlan& plan);
Absence DpdkAbsent(const PairPlan& plan);
// iceoryx, a publisher and a subscriber each way: chunks are loaned, written in place and published, never
// copied; both sides poll (take). Not its client and server: a client of those holds 16 responses. RouDi runs
// while a contestant does. Absent where more is outstanding than its queues hold, or another RouDi runs on
// this machine.
std::unique_ptr<Contestant> MakeIceoryxPair(const PairPlan& plan);
Absence IceoryxAbsent(const PairPlan& plan);
// The kernel's: two pipes; two stream sockets. Non-blocking, both sides polling; a batch is one system call.
std::unique_ptr<Contestant> MakePipePair(const PairPlan& plan);
std::unique_ptr<Contestant> MakeSocketPair(const PairPlan& plan);

// All of these, for contests in which everyone takes part who can.
inline Absence NeverAbsent(const PairPlan&) { return {}; }
struct Rival {
  std::unique_ptr<Contestant> (*make)(const PairPlan&);
  Absence (*absent)(const PairPlan&);
  bool kernel;  // so slow that a few requests say it
};
inline constexpr Rival kRivals[] = {
    {MakeBoostPair, NeverAbsent, false},    {MakeReaderWriterPair, NeverAbsent, false},
    {MakeDpdkPair, DpdkAbsent, false},      {MakeVirtioSplit, NeverAbsent, false},
    {MakeVirtioPacked, NeverAbsent, false}, {MakeIceoryxPair, IceoryxAbsent, false},
    {MakePipePair, NeverAbsent, true},      {MakeSocketPair, NeverAbsent, true},
};

// A process that is blocked in read() of an eventfd and then stores a word, on which the client spins. Before
// each request the client lets `pause` go by, so that the other process really sleeps.
std::unique_ptr<Contestant> MakeEventfdWake(std::chrono::nanoseconds pause);

// The same with a second eventfd back: both sides block.
std::unique_ptr<Contestant> MakeEventfdPingPong();

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_RIVALS_RIVALS_H_
