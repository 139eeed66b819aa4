// SPDX-License-Identifier: Apache-2.0
// The ordering policy under which relacy runs the ring templates that ship, and what stands in for the rest
// of the world: eventfds, and processes that can be killed at any step.
//
// relacy implements C++11's memory model: a load may return an older value wherever nothing forbids it. All
// threads are fibers of one OS thread, so ordinary variables are bookkeeping of the checks,
// not part of the model.
#ifndef VGPU_TESTS_MODEL_MODEL_MEMORY_H_
#define VGPU_TESTS_MODEL_MODEL_MEMORY_H_

#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "ring/ring_ref.h"
#include "tests/model/mutation.h"
#include "tests/model/relacy_core.h"

namespace vgpu::model {

// A process was killed. Thrown at a step, caught where the process began; what it wrote stays.
struct Killed {};

// Every access to shared words and every system call is a step of the calling thread's process.
class Mortality {
 public:
  static constexpr unsigned kThreads = 3;
  static constexpr unsigned kNever = ~0u;

  static void Reset() { left_.fill(kNever); }
  // The calling thread's process dies after so many more steps. Its successor, on the same thread, lives.
  static void DieAfter(unsigned steps) {
    left_[rl::thread_index()] = steps;
    planned_[rl::thread_index()] = steps;
  }
  static void Step() {
    unsigned& left = left_[rl::thread_index()];
    if (left == kNever || left-- > 0) return;
    ++deaths[{rl::thread_index(), planned_[rl::thread_index()]}];
    throw Killed{};
  }

  // How often a thread's process died after so many steps, over a whole search.
  static inline std::map<std::pair<unsigned, unsigned>, uint64_t> deaths;

 private:
  static inline std::array<unsigned, kThreads> left_{};
  static inline std::array<unsigned, kThreads> planned_{};
};

struct ModelMemory {
  // Arguments are payload, modelled as plain memory: an access that the other words do not order is a data
  // race. For the other words `plain` proves that writers take turns: two stores that nothing orders are a
  // data race too.
  struct Word {
    Kind kind = Kind::kArg;
    rl::atomic<uint64_t> atomic;
    rl::var<uint64_t> plain;
  };

  static uint64_t LoadRelaxed(const Word* word) {
    Mortality::Step();
    if (word->kind == Kind::kArg) return word->plain(RL_INFO).load();
    return word->atomic.load(rl::mo_relaxed, RL_INFO);
  }
  static uint64_t LoadAcquire(const Word* word) {
    Mortality::Step();
    return word->atomic.load(g_mutation.relaxed_load == word->kind ? rl::mo_relaxed : rl::mo_acquire,
                             RL_INFO);
  }
  static void StoreRelaxed(Word* word, uint64_t value) {
    Mortality::Step();
    if (value == 0 && word->kind >= Kind::kSubmit && !Keeps(Rule::kAckClearsSlots)) return;
    word->plain(RL_INFO).store(value);
    if (word->kind != Kind::kArg) word->atomic.store(value, rl::mo_relaxed, RL_INFO);
  }
  static void StoreRelease(Word* word, uint64_t value) {
    Mortality::Step();
    word->plain(RL_INFO).store(value);
    word->atomic.store(value, g_mutation.relaxed_store == word->kind ? rl::mo_relaxed : rl::mo_release,
                       RL_INFO);
  }

  template <ring::Fence F>
  static void FullFence() {
    Mortality::Step();
    if (g_mutation.no_fence != F) rl::atomic_thread_fence(rl::mo_seq_cst, RL_INFO);
  }
};

// An eventfd: writes add up; a read takes all, and blocks while there is none. A process killed in its sleep
// is one killed just before it sleeps.
class EventFd {
 public:
  EventFd() {
    writes_.store(0, rl::mo_relaxed, RL_INFO);
    event_.init(/*manual_reset=*/false, /*initial_state=*/false, RL_INFO);
  }
  ~EventFd() { event_.deinit(RL_INFO); }

  void Write() {
    Mortality::Step();
    Synchronise();
    event_.set(RL_INFO);
  }
  void Read() {
    Mortality::Step();
    event_.wait(/*try_wait=*/false, /*is_timed=*/false, RL_INFO);
    Synchronise();
  }

 private:
  // relacy's event orders nothing when it is set twice; a read of an eventfd comes after every write so far.
  void Synchronise() {
    rl::preemption_disabler atomically(rl::ctx());
    writes_.fetch_add(1, rl::mo_acq_rel, RL_INFO);
  }

  rl::atomic<uint64_t> writes_;
  rl::generic_event event_;
};

// Takes the heap out of relacy's hands: its leak check does not know that a killed process loses its heap,
// and it would branch the search at every free.
class UnmodelledHeap : rl::context {
 public:
  static void Use() { rl::ctx().*(&UnmodelledHeap::disable_alloc_) = 1; }
};

// One ring, its arena (one operand and one result a slot) and its eventfds.
template <uint32_t kEntriesLog2>
struct ModelRing {
  static constexpr uint32_t kEntries = 1u << kEntriesLog2;
  using Word = ModelMemory::Word;

  ModelRing() {
    UnmodelledHeap::Use();
    Mortality::Reset();
    Init(&epoch_req, Kind::kEpochReq);
    Init(&call_event, Kind::kCallEvent);
    Init(&epoch_ack, Kind::kEpochAck);
    Init(&kick_event, Kind::kKickEvent);
    for (uint32_t i = 0; i < kEntries; ++i) {
      Word* slot = slots + i * ring::kSlotWords;
      Init(slot, Kind::kSubmit);
      Init(slot + 1, Kind::kDone);
      for (uint32_t word = 2; word < ring::kSlotWords; ++word) Init(slot + word, Kind::kArg);
      operands[i](RL_INFO).store(0);
      results[i](RL_INFO).store(0);
    }
  }

  ring::RingRef<ModelMemory> Ref() {
    return {&epoch_req, &call_event, &epoch_ack, &kick_event, slots, kEntriesLog2};
  }
  void WriteOperand(uint32_t idx, uint64_t value) { operands[idx % kEntries](RL_INFO).store(value); }
  uint64_t ReadOperand(uint32_t idx) { return operands[idx % kEntries](RL_INFO).load(); }
  void WriteResult(uint32_t idx, uint64_t value) { results[idx % kEntries](RL_INFO).store(value); }
  uint64_t ReadResult(uint32_t idx) { return results[idx % kEntries](RL_INFO).load(); }

  Word epoch_req, call_event, epoch_ack, kick_event;
  Word slots[kEntries * ring::kSlotWords];
  rl::var<uint64_t> operands[kEntries];
  rl::var<uint64_t> results[kEntries];
  EventFd kick;
  EventFd call;

 private:
  static void Init(Word* word, Kind kind) {
    word->kind = kind;
    word->plain(RL_INFO).store(0);
    word->atomic.store(0, rl::mo_relaxed, RL_INFO);
  }
};

}  // namespace vgpu::model

#endif  // VGPU_TESTS_MODEL_MODEL_MEMORY_H_
