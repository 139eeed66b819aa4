// SPDX-License-Identifier: Apache-2.0
#include "mediator/dispatcher.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cassert>

#include "mediator/bus_error_guard.h"
#include "mediator/crash_point.h"
#include "mediator/trace.h"

namespace vgpu::mediator {
namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Dispatcher::Dispatcher(EventLoop* loop, Backend* backend, Trace* trace, WaitMode wait, int64_t wake_cost_ns)
    : loop_(loop), backend_(backend), trace_(trace), wait_(wait, wake_cost_ns) {
  [[maybe_unused]] const int watch = loop_->Watch(backend_->finished_fd(), this);
  assert(watch >= 0);
  queues_.resize(1 + backend_->gpus());
  ask_for_gpu_.reserve(backend_->gpus());
  backend_->SetListener(this);
}

// ---- sessions ----

bool Dispatcher::Begin(Session* session) {
  for (const auto& ring : session->rings()) {
    const int watch = loop_->Watch(ring->kick_fd(), ring.get());
    if (watch < 0) {
      for (const int id : session->watches_) loop_->Unwatch(id);
      session->watches_.clear();
      return false;
    }
    session->watches_.push_back(watch);
  }
  sessions_.push_back(session);
  // So that no push_back of a turn allocates.
  const size_t rings = sessions_.size() * (VGPU_RINGS_MAX + 1);
  hot_.reserve(rings);
  ready_.reserve(rings);
  answered_.reserve(rings);
  finished_.reserve(1024);
  for (const auto& ring : session->rings()) {
    ring->Recover(Now());
    ring->LookAtEpoch();
    Settle(ring.get());
    if (ring->phase() == RingPhase::kOpen) MakeHot(ring.get());
    ring->Call();
  }
  backend_->Attach(session);
  return true;
}

void Dispatcher::End(Session* session) {
  assert(!session->ending_);
  session->ending_ = true;
  for (const int id : session->watches_) loop_->Unwatch(id);
  session->watches_.clear();
  for (const auto& ring : session->rings()) {
    ring->DropQueued();
    MakeCold(ring.get());
    Classify(ring.get());
  }
  SettleSession(session);
}

void Dispatcher::Reset(Session* session) {
  session->resetting_ = true;
  session->fenced_ = false;
  ++session->resets;
  for (const auto& ring : session->rings()) {
    if (ring->window()) {  // QEMU's own: it tells late answers apart by their index
      ring->LiftFence();
      if (ring->phase() == RingPhase::kOpen) MakeHot(ring.get());
      continue;
    }
    ring->RequestClose();
    MakeCold(ring.get());
    Classify(ring.get());
    if (!ring->busy() && ring->epoch_pending()) ring->CarryOutEpoch();
  }
  SettleSession(session);
}

void Dispatcher::Fence(Session* session, std::string_view reason) {
  if (session->fenced_ || session->ending_) return;
  spdlog::warn("VM {} is fenced: {}; reset its device to use it again", session->vm_id(), reason);
  session->fenced_ = true;
  ++session->fences;
  for (const auto& ring : session->rings()) {
    MakeCold(ring.get());
    ring->DropRunning();
    if (!ring->busy()) ring->AnswerFenced();
    Classify(ring.get());
  }
  session->owner()->OnFenced();
}

void Dispatcher::RingKicked(GuestRing* ring) {
  if (ring->session()->fenced()) return;
  if (ring->LookAtEpoch()) {
    MakeCold(ring);
    Classify(ring);
    Settle(ring);
  }
  if (ring->phase() == RingPhase::kOpen) MakeHot(ring);
}

// What was put off because pieces of this ring were with the backend, and who is next afterwards.
void Dispatcher::Settle(GuestRing* ring) {
  if (ring->busy()) return;
  Session* session = ring->session();
  if (session->fenced_) {
    ring->AnswerFenced();
  } else if (ring->epoch_pending() && !session->ending_) {
    ring->CarryOutEpoch();
    if (ring->phase() == RingPhase::kOpen) MakeHot(ring);
  }
  Classify(ring);
  SettleSession(session);
}

void Dispatcher::SettleSession(Session* session) {
  if (!session->ending_ && !session->resetting_) return;
  if (session->busy()) return;
  if (session->ending_) {
    if (!backend_->Release(session)) return;
    const auto entry = std::find(sessions_.begin(), sessions_.end(), session);
    assert(entry != sessions_.end());
    sessions_.erase(entry);
    std::erase_if(answered_, [session](GuestRing* ring) { return ring->session() == session; });
    session->owner()->OnEnded();
  } else if (session->resetting_ && !session->epoch_pending()) {
    session->resetting_ = false;
    session->owner()->OnResetDone();  // may end the session, if its connection is gone
  }
}

void Dispatcher::MakeHot(GuestRing* ring) {
  if (ring->hot) return;
  ring->hot = true;
  ring->worked = true;
  hot_.push_back(ring);
}

void Dispatcher::MakeCold(GuestRing* ring) {
  if (!ring->hot) return;
  ring->hot = false;
  *std::find(hot_.begin(), hot_.end(), ring) = hot_.back();
  hot_.pop_back();
}

// ---- the turn ----

void Dispatcher::Run(const bool* stop) {
  while (!*stop) {
    if (Turn()) {
      if (idle_) {
        wait_.WorkCame(now_ns_);
        idle_ = false;
      }
    } else {
      Idle();
    }
    if (++turns_ % kTurnsPerSweep != 0) continue;
    ArmIdleRings();
    backend_->GoingToSleep();  // a loop that never sleeps must not keep what only a busy one needs
  }
  while (in_flight_ != 0) {
    if (backend_->polls()) {
      loop_->Poll();
      PollBackend();
    } else {
      loop_->Sleep();
    }
    CallGuests();
  }
}

void Dispatcher::PollBackend() {
  if (!backend_->polls()) return;
  finished_.clear();
  backend_->Poll(&finished_);
  Finished();
}

bool Dispatcher::Turn() {
  now_ns_ = 0;
  bool progress = loop_->Poll() > 0;
  PollBackend();
  progress |= backend_progress_;  // found by these, or by the Sleep before
  backend_progress_ = false;
  progress |= TakeAll();
  if (progress && now_ns_ == 0) now_ns_ = clock_.Now();
  if (!inline_scheduler_.empty()) RunInline();
  SubmitAll();
  if (!answered_.empty()) CallGuests();
  // To start an engine takes longer than a turn: after the answers.
  if (!ask_for_gpu_.empty()) [[unlikely]] {
    for (Session* session : ask_for_gpu_) backend_->Wake(session);
    ask_for_gpu_.clear();
  }
  if (bus_error_guard::TotalHits() != bus_errors_seen_) [[unlikely]] {
    bus_errors_seen_ = bus_error_guard::TotalHits();
    if (on_bus_error_) on_bus_error_();
  }
  return progress || !inline_scheduler_.empty();
}

bool Dispatcher::TakeAll() {
  ready_.clear();
  for (size_t i = 0; i < hot_.size(); ++i) {
    if (i + 1 < hot_.size()) hot_[i + 1]->PrefetchNext();
    if (hot_[i]->Ready()) ready_.push_back(hot_[i]);
  }
  if (ready_.empty()) return false;
  if (now_ns_ == 0) now_ns_ = clock_.Now();
  for (GuestRing* ring : ready_) {
    if (!TakeFrom(ring)) break;  // it lied: the others have their turn in the next round
  }
  return true;
}

bool Dispatcher::TakeFrom(GuestRing* ring) {
  uint32_t taken = 0;
  if (NobodyElseWaits(*ring)) {
    // A guest that has many outstanding works on the first answers while the next ones are made; if others may come, they
    // are looked for in between.
    const uint32_t most = hot_.size() == 1 ? kInlineMax : kTakeMax;
    uint32_t ran = 0;
    do {
      ran = ring->TakeAndAnswer(kTakeMax, now_ns_, &taken);
      ring->ran_inline += ran;
    } while (ran == kTakeMax && ring->ran_inline < most && ring->Ready());
    if (ring->ran_inline != 0) Answered(ring);
  } else if (ring->Take(kTakeMax, now_ns_, trace_, &taken) == GuestRing::TakeStatus::kLied) [[unlikely]] {
    Fence(ring->session(), "it reused a slot before its answer");
    return false;
  }
  ring->worked = true;
  counters_.requests += taken;
  if (ring->session()->seat.parked && ring->TookForGpu(taken)) [[unlikely]] AskForGpu(ring->session());
  if (!ring->idle()) Classify(ring);
  return true;
}

void Dispatcher::AskForGpu(Session* session) {
  const auto same = [session](const Session* other) { return other->seat.gpu == session->seat.gpu; };
  if (std::none_of(ask_for_gpu_.begin(), ask_for_gpu_.end(), same)) ask_for_gpu_.push_back(session);
}

// Then its requests need no queue: whatever the order of service is, they are next.
bool Dispatcher::NobodyElseWaits(const GuestRing& ring) const {
  const DeviceSeat& seat = ring.session()->seat;
  return ready_.size() == 1 && !ring.window() && ring.idle() && !seat.on_device && !seat.parked &&
         inline_scheduler_.empty() && trace_ == nullptr;
}

void Dispatcher::Classify(GuestRing* ring) {
  Session* session = ring->session();
  const uint32_t bit = 1u << ring->index();
  const Request* head = ring->Head();
  using Way = GuestRing::Way;
  const bool any = head != nullptr;
  const Way way = any ? ring->WayOf(*head) : Way::kInline;
  Queues& queues = QueuesOf(*session);
  SetWork(&inline_scheduler_, &session->inline_work, bit, any && way == Way::kInline);
  SetWork(&queues.slots, &session->slot_work, bit, any && way == Way::kSlot);
  SetWork(&queues.pieces, &session->backend_work, bit, any && way == Way::kPieces);
}

void Dispatcher::SetOnDevice(Session* session, bool on_device) {
  Queues& before = QueuesOf(*session);
  for (uint32_t bit = 1; bit <= session->slot_work.rings; bit <<= 1) SetWork(&before.slots, &session->slot_work, bit, false);
  for (uint32_t bit = 1; bit <= session->backend_work.rings; bit <<= 1) {
    SetWork(&before.pieces, &session->backend_work, bit, false);
  }
  session->seat.on_device = on_device;
  for (const auto& ring : session->rings()) Classify(ring.get());
}

void Dispatcher::SetWork(Scheduler* scheduler, Session::Work* work, uint32_t bit, bool has) {
  if (has) {
    work->rings |= bit;
    scheduler->Add(work);
  } else if ((work->rings & bit) != 0) {
    work->rings &= ~bit;
    if (work->rings == 0) scheduler->Remove(work);
  }
}

void Dispatcher::Answered(GuestRing* ring) {
  if (ring->has_answers) return;
  ring->has_answers = true;
  answered_.push_back(ring);
}

void Dispatcher::RunInline() {
  if (now_ns_ == 0) now_ns_ = clock_.Now();
  uint32_t left = kInlineMax;
  while (left != 0) {
    Session::Work* work = static_cast<Session::Work*>(inline_scheduler_.Next());
    if (work == nullptr) return;
    GuestRing* ring = work->NextRing();
    // Turns of one request; who is alone in its class need not give way to itself.
    const bool alone = work->next == work && (work->rings & (work->rings - 1)) == 0;
    uint32_t cost = 0;
    ring->ran_inline += ring->RunInline(alone ? left : 1, now_ns_, trace_, &cost);
    left -= std::min(left, cost);
    Answered(ring);
    Classify(ring);
    if (work->queued) inline_scheduler_.Yield(work);
  }
}

void Dispatcher::SubmitAll() {
  const uint32_t before = in_flight_;
  for (uint32_t gpu = 0; gpu < queues_.size(); ++gpu) {
    if (!queues_[gpu].slots.empty()) SubmitSlots(gpu);
    if (!queues_[gpu].pieces.empty()) SubmitPieces(gpu);
  }
  if (in_flight_ != before) backend_->Flush();
}

void Dispatcher::SubmitSlots(uint32_t gpu) {
  if (now_ns_ == 0) now_ns_ = clock_.Now();
  Scheduler& scheduler = queues_[gpu].slots;
  while (Session::Work* work = static_cast<Session::Work*>(scheduler.Next())) {
    GuestRing* ring = work->NextRing();
    const uint32_t room = backend_->SlotRoom(*ring);
    if (room == 0) return;
    // Turns of a few requests; who is alone in its class need not give way to itself.
    const bool alone = work->next == work && (work->rings & (work->rings - 1)) == 0;
    in_flight_ += ring->SubmitSlots(alone ? room : std::min(room, kSlotsPerTurn), backend_, now_ns_, trace_);
    Classify(ring);
    if (work->queued) scheduler.Yield(work);
  }
}

void Dispatcher::SubmitPieces(uint32_t gpu) {
  if (now_ns_ == 0) now_ns_ = clock_.Now();
  Scheduler& scheduler = queues_[gpu].pieces;
  while (Session::Work* work = static_cast<Session::Work*>(scheduler.Next())) {
    GuestRing* ring = work->NextRing();
    if (!backend_->HasRoom(*ring, now_ns_)) return;
    Piece piece;
    const uint64_t length = backend_->PieceElements(*ring, *ring->Head(), now_ns_);
    const bool more = ring->NextPiece(length, now_ns_, trace_, &piece);
    backend_->Submit(piece, now_ns_);
    ++in_flight_;
    if (!more) Classify(ring);
    if (work->queued) scheduler.Yield(work);
  }
}

void Dispatcher::OnReady() {
  finished_.clear();
  backend_->Reap(&finished_);
  Finished();
}

void Dispatcher::Finished() {
  if (finished_.empty()) return;
  backend_progress_ = true;
  in_flight_ -= static_cast<uint32_t>(finished_.size());
  now_ns_ = clock_.Now();
  for (size_t i = 0; i < finished_.size();) {
    GuestRing* ring = finished_[i].ring;
    const size_t run = ring->SlotsFinished(std::span(finished_).subspan(i), now_ns_, trace_);
    if (run != 0) {
      i += run;
    } else if (!ring->PieceFinished(finished_[i++], now_ns_, trace_)) {
      continue;
    }
    Answered(ring);
    if (!ring->busy()) {
      Settle(ring);
    } else if (run == 0) {
      Classify(ring);
    }
  }
}

void Dispatcher::CallGuests() {
  const int64_t end_ns = clock_.Now();
  uint32_t ran = 0;
  for (const GuestRing* ring : answered_) ran += ring->ran_inline;
  const uint64_t service_ns = ran == 0 ? 0 : static_cast<uint64_t>(std::max<int64_t>(0, end_ns - now_ns_)) / ran;
  for (GuestRing* ring : answered_) {
    ring->CallIfNeeded();
    ring->session()->service.RecordMany(service_ns, ring->ran_inline);
    ring->has_answers = false;
    ring->ran_inline = 0;
  }
  answered_.clear();
}

// ---- waiting ----

void Dispatcher::Idle() {
  if (backend_->polls()) return Pause();
  if (!idle_) {
    idle_ = true;
    idle_spins_ = 0;
    idle_since_ns_ = clock_.Now();
    spin_until_ns_ = wait_.SpinUntil(idle_since_ns_);
  }
  if (spin_until_ns_ > idle_since_ns_) {
    Pause();
    if (++idle_spins_ % kSpinsPerClock != 0 || clock_.Now() < spin_until_ns_) return;
  }
  if (!ArmAll()) return;
  ++counters_.sleeps;
  backend_->GoingToSleep();
  loop_->Sleep();
}

bool Dispatcher::ArmAll() {
  VGPU_CRASH_POINT("before_arm");
  for (size_t i = hot_.size(); i-- > 0;) {
    if (hot_[i]->Arm()) MakeCold(hot_[i]);
  }
  VGPU_CRASH_POINT("after_arm");
  return hot_.empty();
}

// While some guests keep the loop awake, the others' rings leave the list of what is polled.
void Dispatcher::ArmIdleRings() {
  for (size_t i = hot_.size(); i-- > 0;) {
    GuestRing* ring = hot_[i];
    if (!ring->worked && ring->Arm()) {
      MakeCold(ring);
    } else {
      ring->worked = false;
    }
  }
}

}  // namespace vgpu::mediator
