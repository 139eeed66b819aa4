// SPDX-License-Identifier: Apache-2.0
// The server of one ring: it takes what the guest publishes, runs it or hands it on, answers, and calls. It
// decides nothing about the order among rings. It knows no operation: a Service does.
//
// A ring is a stream: requests start in order, and each starts when the one before it has ended. Only
// requests whose way is kSlot may run many at a time.
//
// A Service has
//   struct Request : serve::Request {...};        // what it needs to run one
//   using Simple = ...;                           // an operation that needs its slot only; false: none
//   Simple FindSimple(uint64_t submit) const;     // of a slot's first word, if nothing is wrong with it
//   static bool HasArgument(Simple);
//   static uint32_t AnswerSimple(Simple, uint64_t arg);
//   void Decode(const ring::SlotCopy&, Request*) const;  // sets `refused` and `code`, or all that Run needs
//   Way WayOf(const Request&) const;              // how it runs now; a refused one's is kInline
//   void Run(Request*) const;                     // all of it, on this thread; its way is kInline
//   static uint32_t Cost(const Request&);         // of Run, in requests that need their slot only
#ifndef VGPU_SERVE_RING_SERVER_H_
#define VGPU_SERVE_RING_SERVER_H_

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <memory>
#include <utility>

#include "api/codes.h"
#include "base/histogram.h"
#include "base/mutant.h"
#include "ring/ring_ref.h"
#include "serve/iteration.h"
#include "serve/request.h"
#include "serve/ring_host.h"
#include "serve/ring_life.h"
#include "serve/same_time.h"

namespace vgpu::serve {

// Where a ring lies, and what is counted for it. What the pointers point at outlives the server.
struct RingPlace {
  char* base;
  uint32_t entries;  // a power of two
  vgpu_journal* journal;
  bool one_epoch;                        // the window ring
  RingName name;                         // in traces
  base::PublishedHistogram* queue_wait;  // ns, taken -> started
  base::PublishedHistogram* service;     // ns, started -> answered; but for kInline, which the caller records
};

// A ring's requests, by slot. A base class, so that it is made before RingLife, which uses their states.
template <class Request>
class RequestTable {
 protected:
  explicit RequestTable(uint32_t entries) : table_(new Request[entries]()) {}
  SlotStates states() const { return {&table_[0].state, sizeof(Request)}; }

  const std::unique_ptr<Request[]> table_;
};

// Served by one thread at a time. Allocates in its constructor only.
template <class Service>
class RingServer : private RequestTable<typename Service::Request>, public RingLife {
  using Table = RequestTable<typename Service::Request>;

 public:
  using Request = typename Service::Request;

  RingServer(const RingPlace& place, RingHost* host, Service service)
      : Table(place.entries),
        RingLife(ring::RingAt(place.base, place.entries), place.journal, place.one_epoch, Table::states()),
        host_(host),
        name_(place.name),
        queue_wait_(place.queue_wait),
        service_time_(place.service),
        service_(std::move(service)) {}

  // ---- life ----

  // Goes on where an earlier process stopped. Requests that were taken and not answered are queued again, or
  // refused with code 12 if they had begun and are not harmless to repeat. On a fresh ring it does nothing.
  void Recover(const Iteration& iteration);
  // As in RingLife. When another epoch is asked for, or a reset closes the ring, what is queued and what runs
  // is dropped.
  bool CheckEpoch();
  void RequestClose();
  // As in RingLife. What runs gets no further pieces and no result.
  void RequestFence();
  // Begins what was asked for, if it is due and nothing runs.
  void BeginIfDue();
  // The owner is gone: drops what is queued, without an answer, and does not wait for what runs.
  void Abandon();

  // ---- taking ----

  // Is there a request to take? Reads one word. Ready and Take need a ring that is kOpen.
  bool Ready() const { return consumer_.Ready(); }
  // Fetches what Ready will read.
  void PrefetchNext() const { Memory::Prefetch(ring_.submit(consumer_.cons())); }
  // kLied: the guest reused a slot before its answer. It is no lie if the slot's request went by kSlot: the
  // guest may have seen that answer before the server did. Then the new request stays in its slot until the
  // server has seen the answer, too.
  enum class TakeStatus : uint8_t { kOk, kLied };
  // Takes up to `max` requests into the table and adds their number to *taken.
  TakeStatus Take(uint32_t max, const Iteration& iteration, uint32_t* taken);
  // Takes up to `max` requests and answers small ones at once: one pass, without the table. A request of
  // another kind, or one that is refused, ends the pass. It is queued, and run at once, too, if its way is
  // kInline. Needs idle(), that no other ring has requests, and that nobody traces. Returns how many it
  // answered, and adds all that it took to *taken. Call it when Ready(), for speed: it fetches the lines of
  // as many slots as came the last time, which is a loss if the guest still writes to them.
  uint32_t TakeAndAnswer(uint32_t max, const Iteration& iteration, uint32_t* taken);
  // Does the predicate hold for one of the last `taken` requests?
  template <class Predicate>
  bool AnyOfTaken(uint32_t taken, Predicate predicate) const {
    for (uint32_t i = 1; i <= taken; ++i) {
      if (predicate(Table::table_[slot(consumer_.cons() - i)])) return true;
    }
    return false;
  }

  // ---- running ----

  // Nothing of this ring is queued or runs.
  bool idle() const { return next_ == consumer_.cons() && !busy(); }
  // Is something of this ring with another thread or a GPU, or between two pieces? Then its memory must stay.
  bool busy() const { return running_ != nullptr || slots_in_flight_ != 0; }
  // Nothing of this ring is with another thread or a GPU at this moment. A request may be between two pieces:
  // its next ones may run elsewhere.
  bool at_rest() const { return slots_in_flight_ == 0 && (running_ == nullptr || running_->pieces == 0); }
  // The request that runs next, or gets its next piece. Null if none waits, or if the last piece of one is
  // still under way.
  Request* Head();
  Way WayOf(const Request& request) const { return service_.WayOf(request); }

  // From the head on, runs and answers requests whose way is kInline, at least one, until they cost `max`.
  // Returns how many, and adds their cost to *cost.
  uint32_t RunInline(uint32_t max, const Iteration& iteration, uint32_t* cost);
  // From the head on, gives at most `max` requests whose way is kSlot to `submit`. Returns how many.
  template <class Submit>
  uint32_t StartSlots(uint32_t max, const Iteration& iteration, Submit submit);
  // The answers of some of these are in their slots, or about to be: of those that `next` returns, until it
  // returns null. Returns how many.
  template <class Next>
  uint32_t SlotsFinished(const Iteration& iteration, Next next);
  // Cuts the next piece, of at most `length` elements, off the head, whose way is kPieces. `more`: it was not
  // the last.
  struct Cut {
    Request* request;
    uint64_t begin;
    uint64_t end;
    bool more;
  };
  Cut NextPiece(uint64_t length, const Iteration& iteration);
  // A piece came back. True if the request has ended (answered, or dropped with its epoch): !busy() again.
  bool PieceFinished(Request* request, const Iteration& iteration);

  // Where the answer of a request goes, and the sequence half of an answer VGPU_OK.
  const uint64_t* DoneWord(uint32_t idx) const { return ring_.done(idx); }
  uint32_t DoneSequence(uint32_t idx) const {
    return vgpu_word_seq(vgpu_done_word(0, ring_.tag(epoch(), idx), VGPU_OK));
  }

  // What was given to the constructor. It does not change.
  const Service& service() const { return service_; }

  // ---- waking ----

  // After answers: calls the guest if it sleeps. QEMU, the producer of the window ring, is always called.
  void CallIfNeeded() {
    if ((consumer_.NeedCall() && !VGPU_MUTANT("dropped_call")) || one_epoch()) Call();
  }
  void Call();

 protected:
  void TraceStep(const Iteration& iteration, TraceEvent event, const Request& request, uint32_t idx,
                 int64_t time_ns) const {
    const bool answered = event == TraceEvent::kAnswered;
    iteration.trace->Add(name_, event, idx, static_cast<uint8_t>(answered ? request.code : 0), time_ns);
  }
  void TraceStep(const Iteration& iteration, TraceEvent event, const Request& request) const {
    if (iteration.trace != nullptr) [[unlikely]]
      TraceStep(iteration, event, request, request.idx, iteration.now_ns);
  }

 private:
  using Consumer = ring::Consumer<Memory>;

  static constexpr uint32_t kResultsMax = 32;  // of one TakeAndAnswer

  Request& At(uint32_t idx) { return Table::table_[slot(idx)]; }
  void Queue(const ring::SlotCopy& copy, uint32_t idx, int64_t now_ns);
  template <class Each>
  uint32_t TakeEach(uint32_t max, Consumer* consumer, Each each);
  void Taken(const Consumer& consumer, uint32_t count);
  template <class AnswerOf>
  static void AnswerBackwards(uint32_t begin, uint32_t end, Consumer* consumer, AnswerOf answer_of);
  void AnswerRun(uint32_t* begin, const Iteration& iteration);
  void AnswerResult(Request* request, const Iteration& iteration);
  void RunOne(Request* request, const Iteration& iteration);
  void Start(Request* request, const Iteration& iteration);
  void DropAll();
  void DropRunning();
  void EndDropped();

  RingHost* const host_;
  const RingName name_;
  base::PublishedHistogram* const queue_wait_;
  base::PublishedHistogram* const service_time_;
  const Service service_;
  uint32_t last_taken_ = 0;       // how many came together the last time: how many to expect now
  Request* running_ = nullptr;    // runs in pieces
  uint32_t slots_in_flight_ = 0;  // requests whose way is kSlot
  bool running_dropped_ = false;  // its epoch is over: no answer, no further pieces
};

// ---- life ----

template <class Service>
void RingServer<Service>::Recover(const Iteration& iteration) {
  if (!RecoverEpoch()) return;
  const uint32_t cons = consumer_.cons();
  uint32_t queued = 0;
  for (uint32_t idx = cons - entries(); idx != cons; ++idx) {
    ring::SlotCopy copy;
    if (!consumer_.Peek(idx, &copy)) continue;
    if (consumer_.HasAnswer(idx) && !VGPU_MUTANT("double_settle_after_restart")) continue;
    Queue(copy, idx, iteration.now_ns);
    ++queued;
    if (!journal_.HasStarted(slot(idx), StartedMark(idx))) continue;
    At(idx).refused = true;
    At(idx).code = VGPU_ERR_INTERRUPTED;
  }
  consumer_ = Consumer(ring_, epoch(), cons, cons - queued);
  next_ = cons - entries();
}

template <class Service>
bool RingServer<Service>::CheckEpoch() {
  if (!RingLife::CheckEpoch()) return false;
  DropAll();
  return true;
}

template <class Service>
void RingServer<Service>::RequestClose() {
  RingLife::RequestClose();
  DropAll();
}

template <class Service>
void RingServer<Service>::RequestFence() {
  RingLife::RequestFence();
  DropRunning();
}

template <class Service>
void RingServer<Service>::BeginIfDue() {
  if (!busy() && due()) BeginDue();
}

template <class Service>
void RingServer<Service>::Abandon() {
  RingLife::Abandon();
  DropAll();
}

template <class Service>
void RingServer<Service>::DropAll() {
  DropRunning();
  DropQueued();
}

template <class Service>
void RingServer<Service>::DropRunning() {
  if (running_ == nullptr) return;
  running_dropped_ = true;
  if (running_->pieces == 0) EndDropped();  // it was waiting for its next turn
}

// Ends the request that was dropped. A fence answers it; otherwise its slot is cleared with the next epoch.
template <class Service>
void RingServer<Service>::EndDropped() {
  const uint32_t idx = std::exchange(running_, nullptr)->idx;
  SlotAt(idx) = SlotState::kFree;
  if (fence_asked()) AnswerOne(idx, {VGPU_ERR_FENCED, 0});
}

// ---- taking ----

template <class Service>
void RingServer<Service>::Queue(const ring::SlotCopy& copy, uint32_t idx, int64_t now_ns) {
  Request& request = At(idx);
  request.idx = idx;
  request.since_ns = now_ns;
  request.state = SlotState::kQueued;
  service_.Decode(copy, &request);
}

// All takes go through here. Gives up to `max` slots to `each(submit, consumer)`, which takes the arguments
// of the consumer's next slot, or none: then that slot stays. False ends it. Returns how many were taken; the
// caller calls Taken() next. The consumer is the caller's copy, whose members stay in registers if this is
// inlined: 31 ns a request instead of 37 with 64 outstanding.
template <class Service>
template <class Each>
[[gnu::always_inline]] inline uint32_t RingServer<Service>::TakeEach(uint32_t max, Consumer* consumer,
                                                                     Each each) {
  const uint32_t first = consumer->cons();
  consumer->Prefetch(std::min(max, last_taken_));
  uint64_t submit;
  while (consumer->cons() - first < max && consumer->PeekHead(&submit) && each(submit, consumer)) {}
  return consumer->cons() - first;
}

// Journals what was taken, before anything of it is answered.
template <class Service>
void RingServer<Service>::Taken(const Consumer& consumer, uint32_t count) {
  last_taken_ = count;
  if (count == 0) return;
  consumer_ = consumer;
  JournalTaken(count);
}

template <class Service>
auto RingServer<Service>::Take(uint32_t max, const Iteration& iteration, uint32_t* taken) -> TakeStatus {
  bool lied = false;
  auto consumer = consumer_;
  const uint32_t count = TakeEach(max, &consumer, [&](uint64_t submit, Consumer* next) {
    const uint32_t idx = next->cons();
    const Request& before = At(idx);
    if (before.state == SlotState::kRunning && before.in_slot) return false;
    lied = before.state != SlotState::kFree && !VGPU_MUTANT("reuse_before_reap");
    if (lied) [[unlikely]]
      return false;
    ring::SlotCopy copy{submit, {}};
    next->TakeArgs(&copy);
    Queue(copy, idx, iteration.now_ns);
    TraceStep(iteration, TraceEvent::kTaken, At(idx));
    return true;
  });
  Taken(consumer, count);
  *taken += count;
  return lied ? TakeStatus::kLied : TakeStatus::kOk;
}

template <class Service>
uint32_t RingServer<Service>::TakeAndAnswer(uint32_t max, const Iteration& iteration, uint32_t* taken) {
  assert(idle() && iteration.trace == nullptr);
  std::array<uint32_t, kResultsMax> results;
  max = std::min({max, kResultsMax, entries()});  // so that no slot is taken twice before its answer
  const uint32_t first = consumer_.cons();
  uint32_t ran = 0;
  auto consumer = consumer_;
  const uint32_t count = TakeEach(max, &consumer, [&](uint64_t submit, Consumer* next) {
    const auto simple = service_.FindSimple(submit);
    if (!simple) [[unlikely]] {
      ring::SlotCopy copy{submit, {}};
      next->TakeArgs(&copy);
      Queue(copy, first + ran, iteration.now_ns);
      return false;
    }
    const uint64_t arg = next->TakeArg();
    results[ran++] = Service::AnswerSimple(simple, Service::HasArgument(simple) ? arg : 0);
    return true;
  });
  if (count == 0) return 0;
  next_ = first + ran;
  Taken(consumer, count);
  *taken += count;
  AnswerBackwards(first, next_, &consumer, [&](uint32_t idx) {
    return ring::Answer{VGPU_OK, results[idx - first]};
  });
  consumer_ = consumer;
  CountAnswered(ran);
  queue_wait_->RecordMany(0, ran);
  uint32_t cost = 0;
  if (count != ran) ran += RunInline(1, iteration, &cost);  // the one of another kind, if it is small
  return ran;
}

// ---- answering ----

// The last one first: a guest that polls its oldest request sees the whole batch at once, and does not pull
// the lines away while they are still written to.
template <class Service>
template <class AnswerOf>
[[gnu::always_inline]] inline void RingServer<Service>::AnswerBackwards(uint32_t begin, uint32_t end,
                                                                        Consumer* consumer,
                                                                        AnswerOf answer_of) {
  for (uint32_t idx = end; idx != begin;) {
    VGPU_CRASH_POINT("before_done");
    --idx;
    consumer->Complete(idx, answer_of(idx));
    VGPU_CRASH_POINT("after_done");
  }
}

template <class Service>
void RingServer<Service>::AnswerResult(Request* request, const Iteration& iteration) {
  assert(request->state != SlotState::kFree);  // taken, and not answered yet
  AnswerOne(request->idx, {request->code, request->result});
  if (!request->repeatable) [[unlikely]]
    journal_.Answered(slot(request->idx));
  TraceStep(iteration, TraceEvent::kAnswered, *request);
}

// Answers what ran of [*begin, next_). Sets *begin to next_.
template <class Service>
void RingServer<Service>::AnswerRun(uint32_t* begin, const Iteration& iteration) {
  for (uint32_t idx = next_; idx != *begin;) {
    --idx;
    if (At(idx).state == SlotState::kQueued) AnswerResult(&At(idx), iteration);
  }
  *begin = next_;
}

// ---- running ----

template <class Service>
auto RingServer<Service>::Head() -> Request* {
  if (fence_asked() || state() == RingState::kFencing) return nullptr;  // the fence will answer what waits
  if (running_ != nullptr) return running_dropped_ || running_->next == running_->count ? nullptr : running_;
  for (; next_ != consumer_.cons(); ++next_) {
    if (At(next_).state == SlotState::kQueued) return &At(next_);  // not: answered before a restart
  }
  return nullptr;
}

template <class Service>
uint32_t RingServer<Service>::RunInline(uint32_t max, const Iteration& iteration, uint32_t* cost) {
  uint32_t ran = 0;
  uint32_t used = 0;
  SameTime waits(queue_wait_, iteration.now_ns);
  uint32_t unanswered = next_;  // [unanswered, next_) ran and have no answer yet
  for (; used < max && next_ != consumer_.cons(); ++next_) {
    Request& request = At(next_);
    if (request.state != SlotState::kQueued) continue;
    if (WayOf(request) != Way::kInline) break;
    // A request that touches the arena is answered before the next one runs. A restart repeats requests
    // without an answer, and that is harmless only while no later one has changed their operands.
    const bool answered_singly = !request.refused && !request.in_slot;
    if (answered_singly) AnswerRun(&unanswered, iteration);
    waits.Add(request.since_ns);
    RunOne(&request, iteration);
    used += Service::Cost(request);
    ++ran;
    if (!answered_singly) continue;
    AnswerResult(&request, iteration);
    unanswered = next_ + 1;
  }
  AnswerRun(&unanswered, iteration);
  ShowWaiting();
  *cost += used;
  return ran;
}

template <class Service>
void RingServer<Service>::RunOne(Request* request, const Iteration& iteration) {
  TraceStep(iteration, TraceEvent::kStarted, *request);
  if (!request->repeatable) [[unlikely]]
    journal_.Started(slot(request->idx), StartedMark(request->idx));
  if (request->refused) return;
  service_.Run(request);
  if (!request->in_slot && host_->MemoryLost()) [[unlikely]]
    request->code = VGPU_ERR_FENCED;
}

// The request begins to run on another thread or a GPU.
template <class Service>
void RingServer<Service>::Start(Request* request, const Iteration& iteration) {
  assert(request->state == SlotState::kQueued);
  request->state = SlotState::kRunning;
  request->since_ns = iteration.now_ns;
  TraceStep(iteration, TraceEvent::kStarted, *request);
}

template <class Service>
template <class Submit>
uint32_t RingServer<Service>::StartSlots(uint32_t max, const Iteration& iteration, Submit submit) {
  uint32_t count = 0;
  SameTime waits(queue_wait_, iteration.now_ns);
  for (; count < max && running_ == nullptr && next_ != consumer_.cons(); ++next_) {
    Request& request = At(next_);
    if (request.state != SlotState::kQueued) continue;
    if (WayOf(request) != Way::kSlot) break;
    waits.Add(request.since_ns);
    Start(&request, iteration);
    submit(&request);
    ++count;
  }
  slots_in_flight_ += count;
  assert(slots_in_flight_ <= entries());
  ShowWaiting();
  return count;
}

// The GPU has written the answer, but nothing says in what order its words become visible. Only after Confirm
// is the answer there for certain, so that CallIfNeeded may check whether the guest sleeps.
template <class Service>
template <class Next>
uint32_t RingServer<Service>::SlotsFinished(const Iteration& iteration, Next next) {
  uint32_t count = 0;
  SameTime times(service_time_, iteration.now_ns);
  for (Request* request; (request = next()) != nullptr; ++count) {
    times.Add(request->since_ns);
    consumer_.Confirm(request->idx, {request->code, request->result});
    request->state = SlotState::kFree;
    TraceStep(iteration, TraceEvent::kAnswered, *request);
  }
  assert(count <= slots_in_flight_);
  CountAnswered(count);
  slots_in_flight_ -= count;
  return count;
}

template <class Service>
auto RingServer<Service>::NextPiece(uint64_t length, const Iteration& iteration) -> Cut {
  Request* request = Head();
  assert(request != nullptr && WayOf(*request) == Way::kPieces);
  if (running_ == nullptr) {
    running_ = request;
    running_dropped_ = false;
    ++next_;
    ShowWaiting();
    queue_wait_->Record(static_cast<uint64_t>(iteration.now_ns - request->since_ns));
    if (!request->repeatable) journal_.Started(slot(request->idx), StartedMark(request->idx));
    Start(request, iteration);
  }
  assert(request->state == SlotState::kRunning);
  const uint64_t begin = request->next;
  request->next = begin + std::min(length, request->count - begin);
  ++request->pieces;
  if (iteration.trace != nullptr) [[unlikely]] {
    TraceStep(iteration, TraceEvent::kPiece, *request, static_cast<uint32_t>(begin), iteration.now_ns);
  }
  return {request, begin, request->next, request->next != request->count};
}

template <class Service>
bool RingServer<Service>::PieceFinished(Request* request, const Iteration& iteration) {
  assert(request == running_ && request->pieces > 0);
  if (--request->pieces != 0) return false;
  if (running_dropped_) {
    EndDropped();
    return true;
  }
  if (request->next != request->count) return false;
  if (host_->MemoryLost()) [[unlikely]]
    request->code = VGPU_ERR_FENCED;
  service_time_->Record(static_cast<uint64_t>(iteration.now_ns - request->since_ns));
  AnswerResult(request, iteration);
  running_ = nullptr;
  return true;
}

// ---- waking ----

template <class Service>
void RingServer<Service>::Call() {
  VGPU_CRASH_POINT("before_call");
  if (!host_->CallGuest()) return;
  VGPU_CRASH_POINT("after_call");
  ++counters_.calls;
}

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_RING_SERVER_H_
