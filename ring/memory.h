// SPDX-License-Identifier: Apache-2.0
// The ordering policy of the ring templates. Every access to a ring's words goes through it, and only this
// file spells the memory orders of these words. (The journal, serve/journal.h, has its own.) There are two
// policies: RealMemory below, and the model checker's (tests/model), which runs the very same templates.
//
// Pairs:
//   submit word   producer StoreRelease  -> consumer LoadAcquire   (arguments are visible with the request)
//   done word     consumer StoreRelease  -> producer LoadAcquire   (results are visible with the answer)
//   epoch_req/ack StoreRelease           -> LoadAcquire            (indices of the old epoch are gone)
//   kick_event    consumer stores, FullFence<kArmKick>, checks the ring
//                 | producer publishes, FullFence<kPublish>, reads kick_event
//   call_event    producer stores, FullFence<kArmCall>, checks the slots
//                 | consumer completes, FullFence<kComplete>, reads call_event
// A pair of full fences is a store-buffer (Dekker) pair: without either, both sides may miss each other's
// store and sleep for ever, on x86 too.
#ifndef VGPU_RING_MEMORY_H_
#define VGPU_RING_MEMORY_H_

#include <cstdint>

namespace vgpu::ring {

// Each full fence has a name, so that a mutant can leave out exactly one.
enum class Fence : uint8_t { kPublish, kArmCall, kComplete, kArmKick };

struct RealMemory {
  using Word = uint64_t;

  static uint64_t LoadRelaxed(const Word* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
  static uint64_t LoadAcquire(const Word* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
  static void StoreRelaxed(Word* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
  static void StoreRelease(Word* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

  template <Fence>
  static void FullFence() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }

  // Hints, without any ordering: this line is about to be read; read, then written.
  static void Prefetch(const Word* word) { __builtin_prefetch(word); }
  static void PrefetchForWrite(const Word* word) {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(*word));  // the builtin means a plain prefetch on baseline x86-64
#else
    __builtin_prefetch(word, 1);
#endif
  }
};

}  // namespace vgpu::ring

#endif  // VGPU_RING_MEMORY_H_
