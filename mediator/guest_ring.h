// SPDX-License-Identifier: Apache-2.0
// One ring of one VM as the mediator sees it: the consumer, the private table of requests in flight, the journal.
// It decides nothing about order among rings (scheduler.h) and knows no sockets.
//
// A ring is a stream: requests start in order, and one starts when the one before it has ended; but for those that touch
// nothing but their slots, of which a GPU may have many at a time.
#ifndef VGPU_MEDIATOR_GUEST_RING_H_
#define VGPU_MEDIATOR_GUEST_RING_H_

#include <cstdint>
#include <memory>
#include <span>

#include "api/codes.h"
#include "base/published.h"
#include "mediator/backend.h"
#include "mediator/event_loop.h"
#include "mediator/operations.h"
#include "mediator/peer_fd.h"
#include "mediator/request.h"
#include "ring/consumer.h"

namespace vgpu::mediator {

class Session;
class Trace;

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

enum class RingPhase : uint8_t { kClosed, kOpen, kFenced };

// Work on a whole ring, done in small steps between the turns of others.
enum class RingChore : uint8_t {
  kNone,
  kFence,  // answers what is queued with VGPU_ERR_FENCED
  kEpoch,  // clears the slots for a new epoch
};

// What a ring is made of. The mappings behind the pointers outlive the ring.
struct RingPlace {
  char* base;
  uint32_t entries;  // a power of two
  RingLimits limits;
  vgpu_journal* journal;
  PeerFd kick;
  PeerFd call;
};

// Served by one thread at a time: whoever has its session (lane.h). Allocates in its constructor only.
class GuestRing final : public ReadyHandler {
 public:
  GuestRing(Session* session, uint32_t index, RingPlace place);

  Session* session() const { return session_; }
  uint32_t index() const { return index_; }
  bool window() const { return limits_.window; }
  RingPhase phase() const { return phase_; }
  uint32_t epoch() const { return consumer_.epoch(); }
  // For other threads.
  uint32_t epoch_shown() const { return epoch_shown_; }
  uint32_t entries() const { return ref_.entries(); }
  uint32_t waiting() const { return consumer_.cons() - sched_; }
  // The same, a little late: for other threads.
  uint32_t waiting_shown() const { return waiting_shown_; }
  int kick_fd() const { return kick_.get(); }
  int call_fd() const { return call_.get(); }
  const RingCounters& counters() const { return counters_; }

  // ---- life ----

  // Goes on where an earlier mediator stopped: what was taken but not answered is queued again, or answered 12 where
  // a repetition could do harm. On a fresh ring it does nothing.
  void Recover(int64_t now_ns);
  // Does the guest ask for another epoch? If so everything queued is dropped, nothing more is taken, and BeginEpoch is due
  // as soon as !busy() and there is no chore.
  bool LookAtEpoch();
  // The device was reset: like a guest's request to close.
  void RequestClose();
  // Asked for, and not answered yet.
  bool epoch_pending() const { return epoch_pending_ || chore_ == RingChore::kEpoch; }
  bool epoch_due() const { return epoch_pending_ && chore_ == RingChore::kNone && !busy(); }
  // Begins the chore kEpoch. Needs epoch_due().
  void BeginEpoch();
  // Drops what is queued, without an answer: it belongs to an owner that is gone. What runs is not waited for.
  void DropQueued();
  // The session ends: drops everything, without a look at each.
  void Abandon();
  // What runs gets no further pieces and no result; it has ended when its pieces are back, perhaps at once.
  void DropRunning();
  // Begins the chore kFence; nothing is taken any more. Needs !busy().
  void BeginFence();
  RingChore chore() const { return chore_; }
  // Goes on with the chore, for `slots` slots. True: it is done.
  bool DoChore(uint32_t slots);

  // Opens the window ring again after a device reset; its producer keeps its index.
  void LiftFence();

  // ---- requests ----

  // Is there a request to take? Reads one word.
  bool Ready() const { return consumer_.Ready(); }
  // Fetches what Ready will read.
  void PrefetchNext() const { ring::RealMemory::Prefetch(ref_.submit(consumer_.cons())); }
  // A guest that reuses a slot before its answer lies. Unless the GPU has it: the guest may have seen that answer first, and
  // waits in its slot until the mediator has, too.
  enum class TakeStatus : uint8_t { kOk, kLied };
  // Takes up to `max` new requests into the table and counts them in *taken.
  TakeStatus Take(uint32_t max, int64_t now_ns, Trace* trace, uint32_t* taken);
  // Takes up to `max` requests, and runs and answers at once those that touch nothing but their slot: one pass, without
  // the table. One of another kind, or that is refused, ends it; it is queued, and run at once, too, if the loop runs it.
  // For a guest's ring that is idle(), when nobody else waits. Returns how many it answered, and counts all that it took in
  // *taken. To be called when Ready(), for speed: it fetches the lines of as many as came the last time, and a guest writes
  // to those that have not come.
  uint32_t TakeAndAnswer(uint32_t max, int64_t now_ns, uint32_t* taken);
  // Is a GPU's work among the last `taken` requests that Take has taken?
  bool TookForGpu(uint32_t taken);
  // Nothing of this ring is queued or runs.
  bool idle() const { return sched_ == consumer_.cons() && !busy(); }
  // The request whose turn it is: null if none waits, or one still runs in pieces.
  Request* Head();
  // Who runs it: the loop itself; the GPU, which answers into its slot; the backend, in pieces.
  enum class Way : uint8_t { kInline, kSlot, kPieces };
  Way WayOf(const Request& request) const;

  // Where the answer of a request goes, and the sequence half of an answer VGPU_OK.
  const uint64_t* DoneWord(uint32_t idx) const { return ref_.done(idx); }
  uint32_t DoneSequence(uint32_t idx) const { return vgpu_word_seq(vgpu_done_word(0, ref_.tag(epoch(), idx), VGPU_OK)); }
  // Runs and answers requests from the head on that the loop runs itself, at least one, until they cost `max` (InlineCost).
  // Returns how many, and adds their cost to *cost.
  uint32_t RunInline(uint32_t max, int64_t now_ns, Trace* trace, uint32_t* cost);
  // Gives requests from the head on whose way is kSlot to the backend; at most `max`, which it has room for. Returns how
  // many.
  uint32_t SubmitSlots(uint32_t max, Backend* backend, int64_t now_ns, Trace* trace);
  // Answers the requests at the front of `pieces` that are this ring's and went by SubmitSlots. Returns how many.
  size_t SlotsFinished(std::span<const Piece> pieces, int64_t now_ns, Trace* trace);
  // Cuts the next piece, of at most `length` elements, off the head, whose way is kPieces. False: that was its last one.
  bool NextPiece(uint64_t length, int64_t now_ns, Trace* trace, Piece* piece);
  // A piece came back. True if the request has ended (answered, or dropped with its epoch): !busy() again.
  bool PieceFinished(const Piece& piece, int64_t now_ns, Trace* trace);
  // Are pieces of this ring with the backend? Their memory must stay.
  bool busy() const { return running_ != nullptr || slots_in_flight_ != 0; }
  // Nothing of it is with the backend at this moment: of a request that is busy(), the next pieces may go to another one.
  bool at_rest() const { return slots_in_flight_ == 0 && (running_ == nullptr || running_->pieces == 0); }

  // ---- waking ----

  // After answers: calls the guest if it sleeps.
  void CallIfNeeded();
  void Call();
  // True: armed; the guest kicks at its next request. False: there is one already.
  bool Arm();
  void OnReady() override;

  // ---- marks of the dispatcher's lists ----
  base::Published<bool> hot = false;  // polled at each turn; otherwise armed, or not open
  bool has_chore = false;  // in the list of chores
  size_t hot_index = 0;    // its place in the list of hot rings
  int watch = -1;          // of its kick; -1: not listened to
  int64_t deaf_until_ns = 0;  // its kicks came without requests: not listened to until then
  uint32_t ran_inline = 0;  // in this turn
  bool has_answers = false; // its guest has not been called for them yet
  bool worked = false;     // of late
  uint32_t idle_kicks = 0;  // kicks in a row that brought nothing

 private:
  bool FenceStep(uint32_t slots);
  bool EpochStep(uint32_t slots);
  void EnterEpoch(uint32_t epoch);
  void ShowWaiting() { waiting_shown_ = waiting(); }
  void RecoverEpoch(uint64_t epoch_word);
  void RecoverRequests(int64_t now_ns);
  Request& At(uint32_t idx) { return table_[idx & ref_.mask()]; }
  void Queue(const ring::SlotCopy& copy, uint32_t idx, int64_t now_ns);
  void Answer(Request* request, uint32_t code, uint32_t result);
  // Answers what has run with its own code and result.
  void AnswerResult(Request* request, int64_t now_ns, Trace* trace);
  void Complete(uint32_t idx, ring::Answer answer);
  // Answers what ran of [*begin, sched_), and sets *begin to sched_.
  void AnswerAll(uint32_t* begin, int64_t now_ns, Trace* trace);
  void JournalTaken(uint32_t count);
  uint32_t StartedMark(uint32_t idx) const { return ref_.tag(consumer_.epoch(), idx) << 8 | 1; }
  void MarkStarted(const Request& request);
  void EndDropped();
  void TraceRequest(Trace* trace, uint8_t event, const Request& request, int64_t now_ns, uint32_t idx);

  Session* const session_;
  const uint32_t index_;
  const ring::RingRef<ring::RealMemory> ref_;
  const RingLimits limits_;
  vgpu_journal* const journal_;
  const PeerFd kick_;
  const PeerFd call_;
  const std::unique_ptr<Request[]> table_;  // by slot

  ring::Consumer<ring::RealMemory> consumer_;
  uint32_t last_taken_ = 0;      // how many came together the last time: how many to expect now
  uint32_t sched_ = 0;           // next index to start; [sched_, cons) wait
  Request* running_ = nullptr;   // has pieces with the backend
  uint32_t slots_in_flight_ = 0; // requests with the GPU that touch nothing but their slots
  bool running_dropped_ = false; // its epoch is over: no answer, no further pieces
  base::Published<RingPhase> phase_ = RingPhase::kClosed;
  RingChore chore_ = RingChore::kNone;
  bool epoch_pending_ = false;
  uint64_t pending_epoch_ = 0;   // an epoch_req word
  uint64_t begun_epoch_ = 0;     // of the chore kEpoch, as it will be answered
  uint32_t cleared_ = 0;         // slots that it has cleared
  base::Published<uint32_t> epoch_shown_ = 0;
  base::Published<uint32_t> waiting_shown_ = 0;
  RingCounters counters_;
  uint64_t taken_at_kick_ = 0;   // of counters_, at the last kick
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GUEST_RING_H_
