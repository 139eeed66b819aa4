// SPDX-License-Identifier: Apache-2.0
// Whom we are measured against, each with a process of its own that answers.
#ifndef VGPU_BENCH_RIVALS_RIVALS_H_
#define VGPU_BENCH_RIVALS_RIVALS_H_

#include <chrono>
#include <cstdint>
#include <memory>

#include "bench/contest.h"

namespace vgpu::bench {

// How a loop that found nothing goes on: at once, or after a pause instruction.
enum class Polling : uint8_t { kEager, kRelaxed };
const char* PollingName(Polling polling);

// Two words on two lines, one written by each side: the least that a round trip can cost without a shared line. Carries
// nothing.
std::unique_ptr<Contestant> MakeRawPingPong(Polling polling);

// Two queues, 64-byte requests one way and 64-byte replies the other. `depth` requests are kept outstanding;
// `batch` are sent together, and up to as many are received together where the queue can.
struct PairPlan {
  uint32_t depth = 1;
  uint32_t batch = 1;
  Polling polling = Polling::kRelaxed;
};
// boost::lockfree::spsc_queue of fixed capacity in shared memory; its push(ptr, n) and pop(ptr, n).
std::unique_ptr<Contestant> MakeBoostPair(const PairPlan& plan);
// moodycamel::ReaderWriterQueue with its blocks preallocated in shared memory; try_enqueue and try_dequeue, one by one:
// it has no batch interface.
std::unique_ptr<Contestant> MakeReaderWriterPair(const PairPlan& plan);

// The layouts of virtio 1.2, both sides polling, one descriptor for each request, whose buffer the reply is written to; the
// order is that of the requests, so a free list is not needed (VIRTIO_F_IN_ORDER). No event index, no indirect tables.
std::unique_ptr<Contestant> MakeVirtioSplit(const PairPlan& plan);
std::unique_ptr<Contestant> MakeVirtioPacked(const PairPlan& plan);
// The kernel's: two pipes; two stream sockets. Non-blocking, both sides polling; a batch is one system call.
std::unique_ptr<Contestant> MakePipePair(const PairPlan& plan);
std::unique_ptr<Contestant> MakeSocketPair(const PairPlan& plan);

// A process that is blocked in read() of an eventfd and then stores a word, on which the client spins. Before each
// request the client lets `pause` go by, so that the other process really sleeps.
std::unique_ptr<Contestant> MakeEventfdWake(std::chrono::nanoseconds pause);

// The same with a second eventfd back: both sides block.
std::unique_ptr<Contestant> MakeEventfdPingPong();

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_RIVALS_RIVALS_H_
