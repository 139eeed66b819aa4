// SPDX-License-Identifier: Apache-2.0
// The life of one ring: its epochs, its fence, its recovery, and who has each of its slots.
//
//                 +---------- asked for another epoch -----------+
//                 v                                              |
//   kClosed -> kClearing -> kOpen -> (kClosed as soon as another epoch is asked for)
//      any -> kFencing -> kFenced -> kClosed (device reset) or kOpen (the window ring's fence is lifted)
//
// What is asked for (an epoch, a fence) waits until nothing of the ring runs. Then it is carried out in
// steps, since a ring has up to 4,096 slots, and other rings wait meanwhile.
#ifndef VGPU_SERVE_RING_LIFE_H_
#define VGPU_SERVE_RING_LIFE_H_

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "base/crash_point.h"
#include "base/mutant.h"
#include "base/published.h"
#include "ring/abi.h"
#include "ring/consumer.h"
#include "serve/journal.h"
#include "serve/request.h"

namespace vgpu::serve {

enum class RingState : uint8_t {
  kClosed,
  kOpen,      // requests are taken
  kClearing,  // a new epoch begins: slots are cleared
  kFencing,   // what is queued is answered with VGPU_ERR_FENCED
  kFenced,
};

// Whether a ring may enter `to` when it is in `from`: asserted at each change.
bool MayFollow(RingState from, RingState to);

// Where the states of a ring's slots lie: in the table of requests, each beside the rest of its request.
struct SlotStates {
  SlotState* first;
  size_t stride;  // bytes from one to the next
};

// Written by the thread that serves the ring, read by any.
struct RingCounters {
  base::Published<uint64_t> taken;
  base::Published<uint64_t> answered;
  base::Published<uint64_t> refused;    // answered with a code other than VGPU_OK
  base::Published<uint64_t> kicks;      // wake-ups by the guest's doorbell
  base::Published<uint64_t> calls;      // wake-ups of the guest
  base::Published<uint64_t> arms_won;   // armed, and the second look found nothing: asleep
  base::Published<uint64_t> arms_lost;  // armed, and a request had come in between
};

// Served by one thread at a time. Allocates in its constructor only.
class RingLife {
 public:
  using Memory = ring::RealMemory;

  // `one_epoch`: it is the window ring, which has a single epoch, and whose fence can be lifted. `states` are
  // all kFree.
  RingLife(ring::RingRef<Memory> ring, vgpu_journal* journal, bool one_epoch, SlotStates states);

  RingState state() const { return state_; }  // any thread
  uint32_t epoch() const { return consumer_.epoch(); }
  uint32_t entries() const { return ring_.entries(); }
  // Requests that were taken and have not started.
  uint32_t waiting() const { return consumer_.cons() - next_; }
  // For other threads. The number of waiting requests is a little late.
  uint32_t epoch_shown() const { return epoch_shown_; }
  uint32_t waiting_shown() const { return waiting_shown_; }
  const RingCounters& counters() const { return counters_; }

  // ---- epochs and fences ----

  // Does the guest ask for another epoch? Then nothing more is taken, and the new epoch is due as soon as
  // nothing runs. The caller drops what is queued.
  bool CheckEpoch();
  // The device was reset: this closes the ring, as if the guest had asked for it. It ends a fence, too.
  void RequestClose();
  // The guest broke a rule: the fence is due as soon as nothing runs.
  void RequestFence();
  // Another epoch was asked for, and is not answered yet.
  bool epoch_pending() const { return asked_ == Asked::kEpoch || state_ == RingState::kClearing; }
  // A fence was asked for, and has not begun.
  bool fence_asked() const { return asked_ == Asked::kFence; }
  // Can what was asked for begin? (A fence also interrupts the clearing for an epoch.)
  bool due() const { return asked_ != Asked::kNothing && (asked_ == Asked::kFence || !in_progress()); }
  // Begins what is due. Needs due(), and that nothing of the ring runs.
  void BeginDue();
  bool in_progress() const { return state_ == RingState::kClearing || state_ == RingState::kFencing; }
  // Goes on with what is in progress, for `slots` slots. True: it is done, and the caller calls the guest.
  bool Step(uint32_t slots);
  // The owner is gone: what was asked for is forgotten, and what is in progress ends here.
  void Abandon();
  // Opens the window ring again after a device reset; its producer keeps its index.
  void LiftFence();

  // ---- waking ----

  // True: armed; the guest kicks at its next request. False: there is a request already.
  bool Arm();

 protected:
  // What was taken and has not started is forgotten, without an answer.
  void DropQueued() { next_ = consumer_.cons(); }

  // Goes on with the epoch of an earlier process. True: the ring is open,
  // and its requests are to be recovered.
  bool RecoverEpoch();

  // Answers one request. (Batches: RingServer::AnswerBackwards. A GPU's answers: Consumer::Confirm.)
  void Answer(uint32_t idx, ring::Answer answer) {
    VGPU_CRASH_POINT("before_done");
    consumer_.Complete(idx, answer);
    VGPU_CRASH_POINT("after_done");
  }
  void CountAnswered(uint32_t count) { counters_.answered += count; }
  // The same, with its slot's state and the counters.
  void AnswerOne(uint32_t idx, ring::Answer answer);

  // Journals and counts what was taken. Nothing taken may have an effect before this.
  void JournalTaken(uint32_t count) {
    if (!VGPU_MUTANT("answer_before_journal")) journal_.Taken(consumer_.cons());
    counters_.taken += count;
    ShowWaiting();
  }
  void ShowWaiting() { waiting_shown_ = waiting(); }

  uint32_t slot(uint32_t idx) const { return idx & ring_.mask(); }
  SlotState& SlotAt(uint32_t idx) {
    return *reinterpret_cast<SlotState*>(reinterpret_cast<char*>(states_.first) + slot(idx) * states_.stride);
  }
  bool one_epoch() const { return one_epoch_; }
  // The journal's mark for the request `idx` of this epoch (never 0).
  uint32_t StartedMark(uint32_t idx) const { return ring_.tag(epoch(), idx) << 8 | 1; }

  const ring::RingRef<Memory> ring_;
  Journal journal_;
  ring::Consumer<Memory> consumer_;
  uint32_t next_ = 0;  // index of the next request to start; [next_, cons) wait
  RingCounters counters_;

 private:
  enum class Asked : uint8_t { kNothing, kEpoch, kFence };

  void Enter(RingState next);
  void AskForEpoch(uint64_t word);
  void EnterEpoch(uint32_t epoch);
  void RecoverFenced(uint64_t word, bool seen);
  bool ClearSome(uint32_t slots);
  bool FenceSome(uint32_t slots);

  const bool one_epoch_;
  base::Published<RingState> state_ = RingState::kClosed;
  Asked asked_ = Asked::kNothing;
  uint64_t asked_epoch_ = 0;  // an epoch_req word; while kEpoch is asked for
  uint64_t begun_epoch_ = 0;  // as it will be answered; in kClearing
  uint32_t cleared_ = 0;      // slots; in kClearing
  base::Published<uint32_t> epoch_shown_ = 0;
  base::Published<uint32_t> waiting_shown_ = 0;
  const SlotStates states_;
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_RING_LIFE_H_
