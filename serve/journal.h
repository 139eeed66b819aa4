// SPDX-License-Identifier: Apache-2.0
// What the server of a ring must remember if it dies: how far it has taken, which requests that are not
// harmless to repeat have begun, and which epoch it has answered. It lies in a file that outlives the process
// (ring/abi.h, struct vgpu_journal).
//
// It survives the process, not the machine. So it is enough that stores stay in program order, as release
// stores do.
#ifndef VGPU_SERVE_JOURNAL_H_
#define VGPU_SERVE_JOURNAL_H_

#include <cstdint>

#include "base/crash_point.h"
#include "ring/abi.h"
#include "ring/memory.h"

namespace vgpu::serve {

// The journal of one ring. Only the thread that serves the ring writes it. The mapping behind `shared`
// outlives it.
class Journal {
 public:
  Journal(vgpu_journal* shared, uint32_t entries) : shared_(shared), entries_(entries) {}

  // As vgpu_ring_control.epoch_ack.
  uint64_t epoch_word() const { return shared_->epoch; }
  uint32_t cons() const { return shared_->cons; }

  // Every request before index `cons` is taken.
  void Taken(uint32_t cons) {
    VGPU_CRASH_POINT("before_journal_cons");
    Store(&shared_->cons, cons);
    VGPU_CRASH_POINT("after_journal_cons");
  }

  // The request in `slot` begins; `mark` says which one it is (never 0).
  void Started(uint32_t slot, uint32_t mark) {
    VGPU_CRASH_POINT("before_started");
    Store(&shared_->started[slot], mark);
    VGPU_CRASH_POINT("after_started");
  }
  bool HasStarted(uint32_t slot, uint32_t mark) const { return shared_->started[slot] == mark; }
  void Answered(uint32_t slot) { Store(&shared_->started[slot], 0); }

  // The epoch `word` begins, after epoch `old`. A process that dies between here and the epoch's answer
  // leaves a closed ring, so that nobody recovers requests of the old epoch.
  void BeginEpoch(uint32_t old, uint64_t word);
  // Changes the state of the epoch; its requests stay what they are.
  void SetEpoch(uint64_t word) { Store(&shared_->epoch, word); }

 private:
  static void Store(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
  static void Store(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

  vgpu_journal* shared_;
  uint32_t entries_;
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_JOURNAL_H_
