// SPDX-License-Identifier: Apache-2.0
#include "mediator/guest_ring.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "api/codes.h"
#include "mediator/crash_point.h"
#include "mediator/session.h"
#include "mediator/trace.h"
#include "ring/epoch.h"

namespace vgpu::mediator {
namespace {

using ring::RealMemory;

// The journal survives this process, not this machine: what counts is program order, which release stores keep.
void Journal32(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
void Journal64(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

constexpr uint32_t kResultsMax = 32;  // of one TakeAndAnswer

// Records times that end now, those that began together at once.
class SameTime {
 public:
  SameTime(base::PublishedHistogram* histogram, int64_t now_ns) : histogram_(histogram), now_ns_(now_ns) {}
  SameTime(const SameTime&) = delete;
  SameTime& operator=(const SameTime&) = delete;
  ~SameTime() { Record(); }

  void Add(int64_t begin_ns) {
    if (begin_ns != begin_ns_) Record();
    begin_ns_ = begin_ns;
    ++count_;
  }

 private:
  void Record() {
    histogram_->RecordMany(static_cast<uint64_t>(now_ns_ - begin_ns_), count_);
    count_ = 0;
  }

  base::PublishedHistogram* const histogram_;
  const int64_t now_ns_;
  int64_t begin_ns_ = 0;
  uint32_t count_ = 0;
};

bool ValidEpoch(uint32_t epoch) { return (epoch & 0xff) != 0; }

}  // namespace

GuestRing::GuestRing(Session* session, uint32_t index, RingPlace place)
    : session_(session),
      index_(index),
      ref_(ring::RingAt(place.base, place.entries)),
      limits_(place.limits),
      journal_(place.journal),
      kick_(std::move(place.kick)),
      call_(std::move(place.call)),
      table_(new Request[place.entries]()) {}

// ---- life ----

void GuestRing::Recover(int64_t now_ns) {
  const uint64_t epoch_word = journal_->epoch;
  const uint32_t epoch = vgpu_word_seq(epoch_word);
  if (!ValidEpoch(epoch)) return;
  const uint32_t cons = journal_->cons;
  consumer_ = ring::Consumer<RealMemory>(ref_, epoch, cons, cons);
  sched_ = cons;
  epoch_shown_ = epoch;
  RecoverEpoch(epoch_word);
  if (phase_ == RingPhase::kOpen) RecoverRequests(now_ns);
}

// The crash may have come between the journal's entry and what the guest sees of it.
void GuestRing::RecoverEpoch(uint64_t epoch_word) {
  const uint32_t state = vgpu_word_data(epoch_word);
  const bool seen = RealMemory::LoadAcquire(ref_.epoch_ack) == epoch_word;
  if (state == VGPU_EPOCH_FENCED) {
    if (!seen) RealMemory::StoreRelease(ref_.epoch_ack, epoch_word);
    // The fence was of an earlier session. Guests open a new epoch; the window ring has but one.
    phase_ = window() ? RingPhase::kFenced : RingPhase::kClosed;
    LiftFence();
    return;
  }
  if (!seen) ring::AnswerEpoch(ref_, consumer_.epoch(), state);  // nobody has used this epoch yet
  phase_ = state == VGPU_EPOCH_OPEN ? RingPhase::kOpen : RingPhase::kClosed;
}

// Queues what was taken and not answered.
void GuestRing::RecoverRequests(int64_t now_ns) {
  const uint32_t cons = consumer_.cons();
  uint32_t queued = 0;
  for (uint32_t idx = cons - entries(); idx != cons; ++idx) {
    ring::SlotCopy copy;
    if (!consumer_.Peek(idx, &copy) || consumer_.HasAnswer(idx)) continue;
    Queue(copy, idx, now_ns);
    ++queued;
    if (journal_->started[idx & ref_.mask()] == StartedMark(idx)) {
      Request& request = At(idx);
      request.op = nullptr;
      request.code = VGPU_ERR_INTERRUPTED;
      request.inline_run = true;
    }
  }
  consumer_ = ring::Consumer<RealMemory>(ref_, consumer_.epoch(), cons, cons - queued);
  sched_ = cons - entries();
}

bool GuestRing::LookAtEpoch() {
  if (chore_ != RingChore::kNone) return false;  // it is looked at when that is done
  const uint64_t asked = ring::RequestedEpoch(ref_);
  const uint64_t known = epoch_pending_ ? pending_epoch_ : uint64_t{consumer_.epoch()} << 32;
  if (phase_ == RingPhase::kFenced || vgpu_word_seq(asked) == vgpu_word_seq(known) ||
      !ValidEpoch(vgpu_word_seq(asked))) {
    return false;
  }
  pending_epoch_ = asked;
  epoch_pending_ = true;
  phase_ = RingPhase::kClosed;
  DropQueued();
  return true;
}

void GuestRing::RequestClose() {
  const uint32_t asked = vgpu_word_seq(ring::RequestedEpoch(ref_));
  phase_ = RingPhase::kClosed;  // a reset lifts a fence, too
  if (chore_ == RingChore::kFence) chore_ = RingChore::kNone;
  if (!ValidEpoch(asked)) return DropQueued();
  pending_epoch_ = vgpu_word(VGPU_EPOCH_CLOSED, asked);
  epoch_pending_ = true;
  DropQueued();
}

void GuestRing::BeginEpoch() {
  assert(epoch_due());
  epoch_pending_ = false;
  const uint32_t state = vgpu_word_data(pending_epoch_) == VGPU_EPOCH_OPEN ? VGPU_EPOCH_OPEN : VGPU_EPOCH_CLOSED;
  begun_epoch_ = vgpu_word(state, vgpu_word_seq(pending_epoch_));
  VGPU_CRASH_POINT("before_epoch_journal");
  // Whoever recovers from between here and the end finds a closed ring, and leaves its old requests alone.
  Journal64(&journal_->epoch, vgpu_word(VGPU_EPOCH_CLOSED, consumer_.epoch()));
  Journal32(&journal_->cons, 0);
  VGPU_CRASH_POINT("within_epoch_journal");
  std::memset(journal_->started, 0, entries() * sizeof journal_->started[0]);
  Journal64(&journal_->epoch, begun_epoch_);
  VGPU_CRASH_POINT("after_epoch_journal");
  chore_ = RingChore::kEpoch;
  cleared_ = 0;
}

bool GuestRing::EpochStep(uint32_t slots) {
  const uint32_t end = std::min(entries(), cleared_ + slots);
  ring::ClearSlots(ref_, cleared_, end);
  for (uint32_t i = cleared_; i < end; ++i) table_[i].state = RequestState::kFree;
  cleared_ = end;
  if (end != entries()) return false;
  const uint32_t epoch = vgpu_word_seq(begun_epoch_);
  const uint32_t state = vgpu_word_data(begun_epoch_);
  ring::PublishEpoch(ref_, epoch, state);
  VGPU_CRASH_POINT("after_epoch_answer");
  EnterEpoch(epoch);
  phase_ = state == VGPU_EPOCH_OPEN ? RingPhase::kOpen : RingPhase::kClosed;
  return true;
}

void GuestRing::EnterEpoch(uint32_t epoch) {
  consumer_ = ring::Consumer<RealMemory>(ref_, epoch);
  sched_ = 0;
  epoch_shown_ = epoch;
  waiting_shown_ = 0;
}

bool GuestRing::DoChore(uint32_t slots) {
  assert(chore_ != RingChore::kNone);
  const bool done = chore_ == RingChore::kEpoch ? EpochStep(slots) : FenceStep(slots);
  if (!done) return false;
  chore_ = RingChore::kNone;
  Call();  // whoever waits for this, or sleeps on the ring that is gone
  return true;
}

// Their places in the table become free with the slots of the next epoch.
void GuestRing::DropQueued() {
  DropRunning();
  sched_ = consumer_.cons();
}

void GuestRing::Abandon() {
  DropQueued();
  chore_ = RingChore::kNone;
}

void GuestRing::DropRunning() {
  if (running_ == nullptr) return;
  running_dropped_ = true;
  if (running_->pieces == 0) EndDropped();  // it was waiting for its next turn
}

void GuestRing::EndDropped() {
  Request* request = std::exchange(running_, nullptr);
  request->state = RequestState::kFree;
  if (session_->fenced()) Answer(request, VGPU_ERR_FENCED, 0);
}

void GuestRing::BeginFence() {
  assert(!busy());
  if (chore_ == RingChore::kEpoch) EnterEpoch(vgpu_word_seq(begun_epoch_));  // answered as fenced
  phase_ = RingPhase::kFenced;
  epoch_pending_ = false;
  chore_ = RingChore::kFence;
}

bool GuestRing::FenceStep(uint32_t slots) {
  for (uint32_t left = slots; sched_ != consumer_.cons(); ++sched_) {
    if (left-- == 0) return false;
    Request& request = At(sched_);
    if (request.state == RequestState::kQueued) Answer(&request, VGPU_ERR_FENCED, 0);
  }
  waiting_shown_ = 0;
  const uint64_t fenced = vgpu_word(VGPU_EPOCH_FENCED, consumer_.epoch());
  Journal64(&journal_->epoch, fenced);
  VGPU_CRASH_POINT("after_fence_journal");
  RealMemory::StoreRelease(ref_.epoch_ack, fenced);
  return true;
}

void GuestRing::LiftFence() {
  if (phase_ != RingPhase::kFenced) return;
  if (chore_ == RingChore::kFence) FenceStep(entries());  // few: it is the window's ring
  chore_ = RingChore::kNone;
  const uint64_t open = vgpu_word(VGPU_EPOCH_OPEN, consumer_.epoch());
  phase_ = RingPhase::kOpen;
  Journal64(&journal_->epoch, open);
  RealMemory::StoreRelease(ref_.epoch_ack, open);
}

// ---- requests ----

void GuestRing::Queue(const ring::SlotCopy& copy, uint32_t idx, int64_t now_ns) {
  Request& request = At(idx);
  request.idx = idx;
  request.arrival_ns = now_ns;
  request.state = RequestState::kQueued;
  Decode(copy, limits_, &request);
}

GuestRing::TakeStatus GuestRing::Take(uint32_t max, int64_t now_ns, Trace* trace, uint32_t* taken) {
  uint32_t count = 0;
  ring::SlotCopy copy;
  consumer_.Prefetch(std::min(max, last_taken_));
  while (count < max) {
    const Request& before = At(consumer_.cons());
    if (before.state == RequestState::kRunning && before.op->in_slot != nullptr) break;
    if (!consumer_.Take(&copy)) break;
    const uint32_t idx = consumer_.cons() - 1;
    if (before.state != RequestState::kFree) return TakeStatus::kLied;
    Queue(copy, idx, now_ns);
    ++count;
    if (trace != nullptr) [[unlikely]] TraceRequest(trace, uint8_t(TraceEvent::kTaken), At(idx), now_ns, idx);
  }
  last_taken_ = count;
  if (count != 0) JournalTaken(count);
  *taken += count;
  return TakeStatus::kOk;
}

bool GuestRing::TookForGpu(uint32_t taken) {
  for (uint32_t i = 1; i <= taken; ++i) {
    const Operation* op = At(consumer_.cons() - i).op;
    if (op != nullptr && op->gpu_job != kNotOnGpu) return true;
  }
  return false;
}

void GuestRing::JournalTaken(uint32_t count) {
  VGPU_CRASH_POINT("before_journal_cons");
  Journal32(&journal_->cons, consumer_.cons());
  VGPU_CRASH_POINT("after_journal_cons");
  counters_.taken += count;
  ShowWaiting();
}

uint32_t GuestRing::TakeAndAnswer(uint32_t max, int64_t now_ns, uint32_t* taken) {
  assert(idle() && !window());
  std::array<uint32_t, kResultsMax> results;
  max = std::min({max, kResultsMax, entries()});  // so that no slot is taken twice before its answer
  const uint32_t first = consumer_.cons();
  uint32_t ran = 0;
  consumer_.Prefetch(std::min(max, last_taken_));
  auto consumer = consumer_;  // whose members stay in registers
  for (uint64_t submit; ran < max && consumer.PeekHead(&submit); ++ran) {
    const Operation* op = FindInSlot(submit);
    if (op == nullptr) {
      ring::SlotCopy copy{submit, {}};
      consumer.TakeArgs(&copy);
      Queue(copy, first + ran, now_ns);
      break;
    }
    const uint64_t arg = consumer.TakeArg();
    results[ran] = op->in_slot(op->has_operands ? arg : 0);
  }
  consumer_ = consumer;
  sched_ = first + ran;
  const uint32_t count = consumer_.cons() - first;
  if (count == 0) return 0;
  last_taken_ = count;
  JournalTaken(count);
  *taken += count;
  for (uint32_t i = ran; i-- > 0;) {  // the last one first, as in AnswerAll
    VGPU_CRASH_POINT("before_done");
    consumer.Complete(first + i, {VGPU_OK, results[i]});
    VGPU_CRASH_POINT("after_done");
  }
  consumer_ = consumer;
  counters_.answered += ran;
  session_->queue_wait.RecordMany(0, ran);
  uint32_t cost = 0;
  if (count != ran) ran += RunInline(1, now_ns, nullptr, &cost);  // the one of another kind, if it is small
  return ran;
}

Request* GuestRing::Head() {
  if (session_->fenced()) return nullptr;  // what waits is answered as soon as nothing runs any more
  if (running_ != nullptr) return running_dropped_ || running_->next == running_->count ? nullptr : running_;
  for (; sched_ != consumer_.cons(); ++sched_) {
    Request& request = At(sched_);
    if (request.state == RequestState::kQueued) return &request;
  }
  return nullptr;
}

void GuestRing::Answer(Request* request, uint32_t code, uint32_t result) {
  Complete(request->idx, {code, result});
  request->state = RequestState::kFree;
}

void GuestRing::AnswerResult(Request* request, int64_t now_ns, Trace* trace) {
  Answer(request, request->code, request->result);
  if (!request->repeatable) [[unlikely]] Journal32(&journal_->started[request->idx & ref_.mask()], 0);
  if (trace != nullptr) [[unlikely]] {
    TraceRequest(trace, uint8_t(TraceEvent::kAnswered), *request, now_ns, request->idx);
  }
}

void GuestRing::Complete(uint32_t idx, ring::Answer answer) {
  VGPU_CRASH_POINT("before_done");
  consumer_.Complete(idx, answer);
  VGPU_CRASH_POINT("after_done");
  ++counters_.answered;
  if (answer.code != VGPU_OK) [[unlikely]] ++counters_.refused;
}

uint32_t GuestRing::RunInline(uint32_t max, int64_t now_ns, Trace* trace, uint32_t* cost) {
  uint32_t ran = 0;
  uint32_t used = 0;
  SameTime waits(&session_->queue_wait, now_ns);
  uint32_t unanswered = sched_;  // [unanswered, sched_) ran and have no answer yet
  while (used < max && sched_ != consumer_.cons()) {
    Request& request = At(sched_);
    if (request.state != RequestState::kQueued) {  // answered before a restart
      ++sched_;
      continue;
    }
    if (WayOf(request) != Way::kInline) break;
    // What touches the arena runs alone: a restart repeats requests without an answer, and that is harmless only while
    // no later one has changed their operands.
    const bool alone = request.op != nullptr && request.op->in_slot == nullptr;
    if (alone) AnswerAll(&unanswered, now_ns, trace);
    if (trace != nullptr) [[unlikely]] TraceRequest(trace, uint8_t(TraceEvent::kStarted), request, now_ns, sched_);
    if (!request.repeatable) [[unlikely]] MarkStarted(request);
    if (request.op != nullptr) Run(&request, 0, alone ? request.count : 0);
    if (alone && session_->memory_lost()) [[unlikely]] request.code = VGPU_ERR_FENCED;
    waits.Add(request.arrival_ns);
    used += InlineCost(request);
    ++ran;
    ++sched_;
    if (alone) AnswerAll(&unanswered, now_ns, trace);
  }
  AnswerAll(&unanswered, now_ns, trace);
  ShowWaiting();
  *cost += used;
  return ran;
}

// The last one first: a guest that looks at its oldest request sees the whole batch at once, and does not pull the lines
// away while they are still written to.
void GuestRing::AnswerAll(uint32_t* begin, int64_t now_ns, Trace* trace) {
  for (uint32_t idx = sched_; idx != *begin;) {
    Request& request = At(--idx);
    if (request.state != RequestState::kQueued) continue;
    AnswerResult(&request, now_ns, trace);
  }
  *begin = sched_;
}

void GuestRing::MarkStarted(const Request& request) {
  VGPU_CRASH_POINT("before_started");
  Journal32(&journal_->started[request.idx & ref_.mask()], StartedMark(request.idx));
  VGPU_CRASH_POINT("after_started");
}

GuestRing::Way GuestRing::WayOf(const Request& request) const {
  const bool on_gpu = request.op != nullptr && request.op->gpu_job != kNotOnGpu && session_->seat.on_device;
  if (on_gpu) return request.op->in_slot != nullptr ? Way::kSlot : Way::kPieces;
  return request.inline_run ? Way::kInline : Way::kPieces;
}

uint32_t GuestRing::SubmitSlots(uint32_t max, Backend* backend, int64_t now_ns, Trace* trace) {
  uint32_t count = 0;
  SameTime waits(&session_->queue_wait, now_ns);
  for (; count < max && running_ == nullptr && sched_ != consumer_.cons(); ++sched_) {
    Request& request = At(sched_);
    if (request.state != RequestState::kQueued) continue;
    if (WayOf(request) != Way::kSlot) break;
    request.state = RequestState::kRunning;
    request.start_ns = now_ns;
    backend->SubmitSlot(this, &request, now_ns);
    waits.Add(request.arrival_ns);
    ++count;
    if (trace != nullptr) [[unlikely]] TraceRequest(trace, uint8_t(TraceEvent::kStarted), request, now_ns, request.idx);
  }
  slots_in_flight_ += count;
  ShowWaiting();
  return count;
}

// The GPU has written the answers, but nothing says in what order its words became visible: only after Confirm is an answer
// there for certain, so that CallIfNeeded may look whether the guest sleeps.
size_t GuestRing::SlotsFinished(std::span<const Piece> pieces, int64_t now_ns, Trace* trace) {
  size_t count = 0;
  SameTime services(&session_->service, now_ns);
  for (const Piece& piece : pieces) {
    if (piece.ring != this || piece.request->op->in_slot == nullptr) break;
    Request* request = piece.request;
    services.Add(request->start_ns);
    consumer_.Confirm(request->idx, {request->code, request->result});
    request->state = RequestState::kFree;
    if (trace != nullptr) [[unlikely]] TraceRequest(trace, uint8_t(TraceEvent::kAnswered), *request, now_ns, request->idx);
    ++count;
  }
  assert(slots_in_flight_ >= count);
  counters_.answered += count;
  slots_in_flight_ -= static_cast<uint32_t>(count);
  return count;
}

bool GuestRing::NextPiece(uint64_t length, int64_t now_ns, Trace* trace, Piece* piece) {
  Request* request = Head();
  assert(request != nullptr && WayOf(*request) == Way::kPieces);
  if (request->state == RequestState::kQueued) {
    request->state = RequestState::kRunning;
    request->start_ns = now_ns;
    running_ = request;
    running_dropped_ = false;
    ++sched_;
    ShowWaiting();
    session_->queue_wait.Record(static_cast<uint64_t>(now_ns - request->arrival_ns));
    if (!request->repeatable) MarkStarted(*request);
    if (trace != nullptr) TraceRequest(trace, uint8_t(TraceEvent::kStarted), *request, now_ns, request->idx);
  }
  const uint64_t left = request->count - request->next;
  *piece = {this, request, request->next, request->next + (left < length ? left : length)};
  request->next = piece->end;
  ++request->pieces;
  if (trace != nullptr) {
    TraceRequest(trace, uint8_t(TraceEvent::kPiece), *request, now_ns, static_cast<uint32_t>(piece->begin));
  }
  return request->next != request->count;
}

bool GuestRing::PieceFinished(const Piece& piece, int64_t now_ns, Trace* trace) {
  Request* request = piece.request;
  assert(request == running_ && request->pieces > 0);
  if (trace != nullptr && piece.gpu_ns != 0) [[unlikely]] {
    TraceRequest(trace, uint8_t(TraceEvent::kDoneByGpu), *request, static_cast<int64_t>(piece.gpu_ns),
                 static_cast<uint32_t>(piece.begin));
  }
  if (--request->pieces != 0) return false;
  if (!running_dropped_ && request->next != request->count) return false;
  if (running_dropped_) {
    EndDropped();
    return true;
  }
  if (session_->memory_lost()) [[unlikely]] request->code = VGPU_ERR_FENCED;
  session_->service.Record(static_cast<uint64_t>(now_ns - request->start_ns));
  AnswerResult(request, now_ns, trace);
  running_ = nullptr;
  return true;
}

void GuestRing::TraceRequest(Trace* trace, uint8_t event, const Request& request, int64_t now_ns, uint32_t idx) {
  const bool answered = event == uint8_t(TraceEvent::kAnswered);
  trace->Add({now_ns, session_->vm_id(), idx, static_cast<uint8_t>(index_),
              static_cast<uint8_t>(session_->priority()), TraceEvent{event},
              static_cast<uint8_t>(answered ? request.code : 0), 0});
}

// ---- waking ----

void GuestRing::CallIfNeeded() {
  // QEMU, the window ring's producer, always wants to know.
  if (consumer_.NeedCall() || limits_.window) Call();
}

void GuestRing::Call() {
  VGPU_CRASH_POINT("before_call");
  if (!session_->SignalOwner(call_.get())) return;
  VGPU_CRASH_POINT("after_call");
  ++counters_.calls;
}

bool GuestRing::Arm() {
  const bool armed = consumer_.ArmKick();
  ++(armed ? counters_.arms_won : counters_.arms_lost);
  return armed;
}

void GuestRing::OnReady() {
  session_->DrainKick(kick_.get());
  ++counters_.kicks;
  idle_kicks = counters_.taken == taken_at_kick_ ? idle_kicks + 1 : 0;
  taken_at_kick_ = counters_.taken;
  session_->RingKicked(this);
}

}  // namespace vgpu::mediator
