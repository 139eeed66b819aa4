// SPDX-License-Identifier: Apache-2.0
#include "mediator/dispatcher.h"

#include <sys/resource.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "base/bus_error_guard.h"
#include "base/crash_point.h"
#include "base/mutant.h"
#include "mediator/operations.h"
#include "mediator/sched/policy.h"

namespace vgpu::mediator {
namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Of this thread.
long PageFaults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

// Does what runs in pieces run on the session's GPU? What no GPU has code for goes to the CPU's workers,
// wherever the session is.
bool RunsOnGpu(const Session& session, const Request& request) {
  return session.seat().on_device() && request.op->gpu_job != kNotOnGpu;
}

}  // namespace

Dispatcher::Dispatcher(EventLoop* loop, const Backend& backend, SessionOwner* owner, serve::TraceSink* trace,
                       const Clock* clock, const DispatcherOptions& options)
    : loop_(loop), workers_(backend.workers), gpus_(backend.gpus), memory_(backend.memory), owner_(owner),
      turn_{0, trace}, clock_(clock), serves_suspects_(options.serves_suspects),
      wait_(options.wait, options.wake_cost_ns) {
  assert((gpus_ == nullptr) == (memory_ == nullptr));
  [[maybe_unused]] const int watch = loop_->Watch(workers_->finished_fd(), this);
  assert(watch >= 0);
  if (gpus_ != nullptr) {
    gpu_queues_.resize(gpus_->count());
    ask_for_gpu_.reserve(gpus_->count());
    memory_->SetListener(this);
  }
  // So that no push_back of a turn allocates.
  const size_t rings = size_t{options.sessions_max} * (VGPU_RINGS_MAX + 1);
  sessions_.reserve(options.sessions_max);
  for (HotList& list : hot_) list.rings.reserve(rings);
  for (std::vector<GuestRing*>& list : answered_) list.reserve(rings);
  for (std::vector<GuestRing*>* list : {&ready_, &deaf_}) list->reserve(rings);
  chores_.reserve(options.sessions_max);
  finished_.reserve(1024);
  faults_ = PageFaults();
  last_tick_ns_ = clock_->Now();
  SampleComputed(last_tick_ns_);
}

// ---- sessions ----

bool Dispatcher::Begin(Session* session, bool call) {
  for (const auto& ring : session->rings()) {
    ring->watch = loop_->Watch(ring->kick_fd(), ring.get());
    if (ring->watch >= 0) continue;
    StopListening(session);
    return false;
  }
  session->BeServedBy(this);
  sessions_.push_back(session);
  for (const auto& ring : session->rings()) {
    ring->LookAtEpoch();
    if (ring->in_progress()) HaveChore(ring.get());
    Settle(ring.get());
    if (ring->state() == serve::RingState::kOpen) MakeHot(ring.get());
    if (call) ring->Call();
  }
  if (memory_ != nullptr) memory_->Attach(session);
  if (session->memory_lost()) Fence(session, FenceReason::kMemoryLost);  // elsewhere, or on its way
  return true;
}

void Dispatcher::End(Session* session) {
  session->End();
  StopListening(session);
  for (const auto& ring : session->rings()) {
    ring->Abandon();
    MakeCold(ring.get());
    Classify(ring.get());
  }
  SettleSession(session);
}

void Dispatcher::Leave(Session* session) {
  session->Leave();
  StopServing(session);
  SettleSession(session);
}

// Nothing of it is heard, looked at or begun any more; what runs comes back.
void Dispatcher::StopServing(Session* session) {
  StopListening(session);
  for (const auto& ring : session->rings()) {
    MakeCold(ring.get());
    Classify(ring.get());
  }
}

void Dispatcher::Reset(Session* session) {
  if (!session->BeginReset()) return SettleSession(session);
  for (const auto& ring : session->rings()) {
    if (ring->window()) {  // QEMU's own: it tells late answers apart by their index
      ring->LiftFence();
      if (ring->state() == serve::RingState::kOpen) MakeHot(ring.get());
      continue;
    }
    ring->RequestClose();
    MakeCold(ring.get());
    Classify(ring.get());
    ring->BeginIfDue();
    if (ring->in_progress()) HaveChore(ring.get());
  }
  SettleSession(session);
}

void Dispatcher::Fence(Session* session, FenceReason reason) {
  const FenceChange change = session->Fence(reason);
  if (change == FenceChange::kNothing) return;
  if (change == FenceChange::kStronger) return owner_->OnFenced(session, reason);
  for (const auto& ring : session->rings()) {
    MakeCold(ring.get());
    ring->RequestFence();
    Settle(ring.get());
  }
  owner_->OnFenced(session, reason);
}

// A hole in its memory, a page that is poisoned: whoever has met one has computed rubbish.
void Dispatcher::FenceLost() {
  for (size_t i = sessions_.size(); i-- > 0;) {
    if (sessions_[i]->memory_lost()) Fence(sessions_[i], FenceReason::kMemoryLost);
  }
}

void Dispatcher::RingKicked(GuestRing* ring) {
  if (ring->session()->fenced()) return StopListeningIfIdle(ring);
  if (ring->LookAtEpoch()) {
    ring->idle_kicks = 0;
    MakeCold(ring);
    Classify(ring);
    Settle(ring);
  }
  if (ring->state() == serve::RingState::kOpen) MakeHot(ring);
  StopListeningIfIdle(ring);
}

void Dispatcher::StopListeningIfIdle(GuestRing* ring) {
  if (ring->idle_kicks < policy::kVainKicksMax || ring->watch < 0) return;
  ring->idle_kicks = 0;
  StopListening(ring);
  ring->deaf_until_ns = clock_->Now() + policy::kMutedNs;
  deaf_.push_back(ring);
}

void Dispatcher::StopListening(GuestRing* ring) { loop_->Unwatch(std::exchange(ring->watch, -1)); }

void Dispatcher::StopListening(Session* session) {
  std::array<int, VGPU_RINGS_MAX + 1> watches;
  size_t count = 0;
  for (const auto& ring : session->rings()) watches[count++] = std::exchange(ring->watch, -1);
  loop_->UnwatchAll(std::span(watches).first(count));
  std::erase_if(deaf_, [session](const GuestRing* ring) { return ring->session() == session; });
}

// Those that were muted long enough are listened to again.
void Dispatcher::Listen() {
  const int64_t now_ns = clock_->Now();
  for (size_t i = deaf_.size(); i-- > 0;) {
    GuestRing* ring = deaf_[i];
    if (ring->deaf_until_ns > now_ns) continue;
    ring->watch = loop_->Watch(ring->kick_fd(), ring);
    if (ring->watch < 0) continue;  // cannot be: its place was free
    deaf_[i] = deaf_.back();
    deaf_.pop_back();
  }
}

void Dispatcher::PeerWasSlow(Session* session) {
  if (serves_suspects_ || !session->life().served()) return;
  session->Hold();
  StopServing(session);
  owner_->OnSlow(session);
}

void Dispatcher::HaveChore(GuestRing* ring) {
  if (ring->has_chore) return;
  Session* session = ring->session();
  ring->has_chore = true;
  if (session->chore_work.rings == 0) {
    chores_.push_back(session);
    session->chore_work.last = 31;  // from its first ring on
  }
  session->chore_work.rings |= 1u << ring->index();
}

// Turns of VMs, and of a VM's rings within its own.
void Dispatcher::DoChores() {
  if (next_chore_ >= chores_.size()) next_chore_ = 0;
  Session* session = chores_[next_chore_];
  Session::Work& work = session->chore_work;
  GuestRing* ring = work.NextRing();
  const bool gone = session->life().going() || !ring->in_progress();
  if (!gone && !ring->Advance(policy::kChoreSlots)) {
    ++next_chore_;  // the others have their turn
    return;
  }
  ring->has_chore = false;
  work.rings &= ~(1u << ring->index());
  if (work.rings == 0) {
    chores_[next_chore_] = chores_.back();
    chores_.pop_back();
  } else {
    ++next_chore_;
  }
  if (gone) return;
  if (!session->fenced()) ring->LookAtEpoch();  // the guest may have asked for the next one meanwhile
  if (ring->state() == serve::RingState::kOpen) MakeHot(ring);
  Settle(ring);
}

// What was put off because pieces of this ring were with the backend, and who is next afterwards.
void Dispatcher::Settle(GuestRing* ring) {
  if (ring->busy()) return Classify(ring);
  Session* session = ring->session();
  if (!session->life().ending()) ring->BeginIfDue();
  if (ring->in_progress()) HaveChore(ring);
  Classify(ring);
  SettleSession(session);
}

void Dispatcher::SettleSession(Session* session) {
  // A request that is between two pieces goes with it: held, it gets no more of them here.
  const SessionLife& life = session->life();
  if (life.leaving() && session->at_rest()) return SettleEnding(session);
  if (session->busy()) return;
  if (life.ending()) return SettleEnding(session);
  if (!life.resetting() || session->epoch_pending()) return;
  session->EndReset();
  owner_->OnResetDone(session);
}

void Dispatcher::SettleEnding(Session* session) {
  if (memory_ != nullptr && !memory_->Release(session)) return;
  if (VGPU_MUTANT("placement_freed_twice") && memory_ != nullptr) memory_->Release(session);
  assert(!session->queued());
  const auto entry = std::find(sessions_.begin(), sessions_.end(), session);
  assert(entry != sessions_.end());
  sessions_.erase(entry);
  const auto is_its = [session](const GuestRing* ring) { return ring->session() == session; };
  for (auto& answered : answered_) std::erase_if(answered, is_its);
  std::erase(chores_, session);
  session->chore_work.rings = 0;
  for (const auto& ring : session->rings()) ring->has_chore = ring->has_answers = false;
  if (session->life().ending()) {
    session->Ended();
    return owner_->OnEnded(session);
  }
  session->Left();
  owner_->OnLeft(session);
}

void Dispatcher::MakeHot(GuestRing* ring) {
  if (ring->hot || ring->session()->life().held()) return;
  std::vector<GuestRing*>& hot = hot_[ring->session()->priority()].rings;
  ring->hot = true;
  ring->worked = true;
  ring->hot_index = hot.size();
  hot.push_back(ring);
}

void Dispatcher::MakeCold(GuestRing* ring) {
  if (!ring->hot) return;
  std::vector<GuestRing*>& hot = hot_[ring->session()->priority()].rings;
  ring->hot = false;
  hot[ring->hot_index] = hot.back();
  hot[ring->hot_index]->hot_index = ring->hot_index;
  hot.pop_back();
}

// ---- the turn ----

void Dispatcher::Run(const bool* stop) {
  while (!*stop) {
    if (Turn()) {
      if (idle_) {
        wait_.WorkCame(turn_.now_ns);
        idle_ = false;
      }
    } else {
      Idle();
    }
    if (++turns_ % kTurnsPerSweep != 0) continue;
    ArmIdleRings();
    if (gpus_ != nullptr) gpus_->Rest();
  }
  while (in_flight_ != 0 && loop_->error().empty()) {
    if (polls()) {
      loop_->Poll();
      PollGpus();
    } else {
      loop_->Sleep();
    }
    CallGuests();
  }
  while (HasAnswers()) CallGuests();
}

void Dispatcher::PollGpus() {
  if (!polls()) return;
  finished_.clear();
  gpus_->Poll(&finished_);
  if (VGPU_MUTANT("lost_engine_answer") && !finished_.empty()) finished_.pop_back();
  Finished();
}

// The time. Called often enough, it also notices a turn that took too long.
int64_t Dispatcher::Tick() {
  const int64_t now_ns = clock_->Now();
  const int64_t before_ns = std::exchange(last_tick_ns_, now_ns);
  if (now_ns - before_ns > policy::kLongIterationNs) [[unlikely]] OnGap();
  if (computed_.old(now_ns)) [[unlikely]] SampleComputed(now_ns);
  return now_ns;
}

// The memory of guests is all mapped: only a page that was taken away is missed, and then this thread has had a page fault.
// Otherwise it was the machine.
void Dispatcher::OnGap() {
  ++counters_.gaps;
  const long before = std::exchange(faults_, PageFaults());
  if (faults_ != before && on_fault_) on_fault_();
}

bool Dispatcher::Turn() {
  turn_.now_ns = 0;
  bool progress = loop_->Poll() > 0;
  PollGpus();
  progress |= backend_progress_;  // found by these, or by the Sleep before
  backend_progress_ = false;
  progress |= TakeAll();
  if (progress && turn_.now_ns == 0) turn_.now_ns = Tick();
  if (!inline_scheduler_.empty()) RunInline();
  SubmitAll();
  if (!chores_.empty()) DoChores();
  if (HasAnswers()) CallGuests();
  if (!deaf_.empty()) [[unlikely]] Listen();
  // Nobody waits for that: after the answers.
  if (!ask_for_gpu_.empty()) [[unlikely]] {
    for (Session* session : ask_for_gpu_) memory_->Wake(session);
    ask_for_gpu_.clear();
  }
  if (base::bus_error_guard::TotalHits() != bus_errors_seen_) [[unlikely]] {
    bus_errors_seen_ = base::bus_error_guard::TotalHits();
    FenceLost();
  }
  const bool more = progress || !inline_scheduler_.empty() || !chores_.empty() || HasAnswers();
  if (more && turn_.now_ns == 0) turn_.now_ns = Tick();
  return more;
}

bool Dispatcher::TakeAll() {
  ready_.clear();
  for (size_t priority = kPriorities; priority-- > 0;) {
    if (!hot_[priority].rings.empty()) LookAt(&hot_[priority]);
  }
  if (ready_.empty()) return false;
  if (turn_.now_ns == 0) turn_.now_ns = Tick();
  for (size_t i = 0; i < ready_.size(); ++i) {
    if (!TakeFrom(ready_[i])) break;  // it lied: the others have their turn in the next round
    if (i % policy::kRingsPerClock != policy::kRingsPerClock - 1 || i + 1 == ready_.size()) continue;
    if (clock_->Now() - turn_.now_ns < policy::kTakeNs) continue;
    const GuestRing* next = ready_[i + 1];  // whoever has not had a turn is the first of its class in the next one
    hot_[next->session()->priority()].next = next->hot_index;
    break;
  }
  return true;
}

// Finds who has requests; of a long list, a part in each turn.
void Dispatcher::LookAt(HotList* list) {
  const size_t size = list->rings.size();
  const size_t looks = std::min<size_t>(size, policy::kLooksMax);
  size_t at = list->next < size ? list->next : 0;
  for (size_t i = 0; i < looks; ++i) {
    GuestRing* ring = list->rings[at];
    at = at + 1 == size ? 0 : at + 1;
    if (i + 1 < looks) list->rings[at]->PrefetchNext();
    if (ring->Ready()) ready_.push_back(ring);
  }
  list->next = looks == size ? list->next + 1 : at;
}

// So that a VM with eight rings has no more turns than one with a single ring.
uint32_t Dispatcher::LeftInTurn(Session* session) const {
  return policy::kTakeMax - std::min(policy::kTakeMax, session->TakenIn(turns_));
}

bool Dispatcher::TakeFrom(GuestRing* ring) {
  uint32_t taken = 0;
  if (NobodyElseWaits(*ring)) {
    // A guest that has many outstanding works on the first answers while the next ones are made; if others may come, they
    // are looked for in between.
    const bool others_may_come = hot_[0].rings.size() + hot_[1].rings.size() + hot_[2].rings.size() != 1;
    const uint32_t most = others_may_come ? policy::kTakeMax : policy::kInlineMax;
    uint32_t ran = 0;
    do {
      ran = ring->TakeAndAnswer(policy::kTakeMax, turn_, &taken);
      ring->ran_inline += ran;
    } while (ran == policy::kTakeMax && ring->ran_inline < most && ring->Ready());
    if (ring->ran_inline != 0) Answered(ring);
  } else {
    const uint32_t left = LeftInTurn(ring->session());
    if (left == 0) return true;
    if (ring->Take(left, turn_, &taken) == GuestRing::TakeStatus::kLied) [[unlikely]] {
      Fence(ring->session(), FenceReason::kSlotReused);
      return false;
    }
    ring->session()->CountTaken(turns_, taken);
  }
  ring->worked = true;
  counters_.requests += taken;
  if (ring->session()->seat().parked() && ring->TookForGpu(taken)) [[unlikely]] AskForGpu(ring->session());
  if (!ring->idle()) Classify(ring);
  return true;
}

void Dispatcher::AskForGpu(Session* session) {
  const auto same = [session](const Session* other) { return other->seat().gpu() == session->seat().gpu(); };
  if (std::none_of(ask_for_gpu_.begin(), ask_for_gpu_.end(), same)) ask_for_gpu_.push_back(session);
}

// Then its requests need no queue: whatever the order of service is, they are next.
bool Dispatcher::NobodyElseWaits(const GuestRing& ring) const {
  const Placement& seat = ring.session()->seat();
  return ready_.size() == 1 && !ring.window() && ring.idle() && !seat.on_device() && !seat.parked() &&
         inline_scheduler_.empty() && turn_.trace == nullptr;
}

// Which place the ring's head goes to, and in which queue its session waits there. Decided when the head
// changes, and when the session's placement does.
void Dispatcher::Classify(GuestRing* ring) {
  Session* session = ring->session();
  const uint32_t bit = 1u << ring->index();
  const Request* head = session->life().held() ? nullptr : ring->Head();
  using serve::Way;
  const bool any = head != nullptr;
  const Way way = any ? ring->WayOf(*head) : Way::kLoop;
  const bool in_pieces = any && way == Way::kPieces;
  const bool on_gpu = in_pieces && RunsOnGpu(*session, *head);
  SetWork(&inline_scheduler_, &session->inline_work, bit, any && way == Way::kLoop);
  SetWork(&worker_scheduler_, &session->worker_work, bit, in_pieces && !on_gpu);
  if (!session->seat().on_device()) return;  // OnPlacement has emptied its GPU's queues of it
  GpuQueues& queues = gpu_queues_[session->seat().gpu()];
  SetWork(&queues.slots, &session->slot_work, bit, any && way == Way::kSlot);
  SetWork(&queues.pieces, &session->gpu_work, bit, on_gpu);
}

void Dispatcher::OnPlacement(Session* session, bool on_device) {
  assert(session->seat().on_device() == on_device);
  if (!on_device) {
    GpuQueues& before = gpu_queues_[session->seat().gpu()];
    before.slots.Remove(&session->slot_work);
    before.pieces.Remove(&session->gpu_work);
    session->slot_work.rings = session->gpu_work.rings = 0;
  }
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
  answered_[ring->session()->priority()].push_back(ring);
}

bool Dispatcher::HasAnswers() const {
  return !answered_[0].empty() || !answered_[1].empty() || !answered_[2].empty();
}

void Dispatcher::RunInline() {
  if (turn_.now_ns == 0) turn_.now_ns = Tick();
  uint32_t left = policy::kInlineMax;
  while (left != 0) {
    Session::Work* work = static_cast<Session::Work*>(inline_scheduler_.Next());
    if (work == nullptr) return;
    GuestRing* ring = work->NextRing();
    // Turns of one request; who is alone in its class need not give way to itself.
    const bool alone = work->next == work && (work->rings & (work->rings - 1)) == 0;
    uint32_t cost = 0;
    ring->ran_inline += ring->RunInLoop(alone ? left : 1, turn_, &cost);
    left -= std::min(left, cost);
    Answered(ring);
    Classify(ring);
    if (work->queued) inline_scheduler_.Yield(work);
  }
}

void Dispatcher::SubmitAll() {
  if (!worker_scheduler_.empty()) SubmitToWorkers();
  const uint32_t before = in_flight_;
  for (GpuQueues& queues : gpu_queues_) {
    if (!queues.slots.empty()) SubmitSlots(&queues.slots);
    if (!queues.pieces.empty()) SubmitToGpu(&queues.pieces);
  }
  if (in_flight_ != before) gpus_->Flush();
}

void Dispatcher::SubmitSlots(Scheduler* slots) {
  if (turn_.now_ns == 0) turn_.now_ns = Tick();
  while (Session::Work* work = static_cast<Session::Work*>(slots->Next())) {
    GuestRing* ring = work->NextRing();
    const uint32_t room = gpus_->SlotRoom(*ring);
    if (room == 0) return;
    // Turns of a few requests; who is alone in its class need not give way to itself.
    const bool alone = work->next == work && (work->rings & (work->rings - 1)) == 0;
    in_flight_ += ring->SubmitSlots(alone ? room : std::min(room, policy::kSlotsPerTurn), gpus_, turn_);
    Classify(ring);
    if (work->queued) slots->Yield(work);
  }
}

void Dispatcher::SubmitToWorkers() {
  if (turn_.now_ns == 0) turn_.now_ns = Tick();
  while (Session::Work* work = static_cast<Session::Work*>(worker_scheduler_.Next())) {
    if (!workers_->HasRoom()) return;
    GuestRing* ring = work->NextRing();
    const uint64_t length = workers_->PieceLength(*ring->Head());
    workers_->Submit(NextPiece(&worker_scheduler_, work, ring, length));
  }
}

void Dispatcher::SubmitToGpu(Scheduler* pieces) {
  if (turn_.now_ns == 0) turn_.now_ns = Tick();
  while (Session::Work* work = static_cast<Session::Work*>(pieces->Next())) {
    GuestRing* ring = work->NextRing();
    const Plan plan = gpus_->PlanPiece(*ring, *ring->Head(), turn_.now_ns);
    if (!gpus_->HasRoom(*ring, plan)) return;
    gpus_->Submit(NextPiece(pieces, work, ring, plan.elements), plan);
  }
}

// Cuts the next piece, of at most `length` elements, off the ring's head, and ends the turn of its session.
Piece Dispatcher::NextPiece(Scheduler* scheduler, Session::Work* work, GuestRing* ring, uint64_t length) {
  Piece piece;
  const bool more = ring->CutPiece(length, turn_, &piece);
  ++in_flight_;
  if (!more) Classify(ring);
  if (work->queued) scheduler->Yield(work);
  return piece;
}

void Dispatcher::OnReady() {
  finished_.clear();
  workers_->Reap(&finished_);
  if (gpus_ != nullptr) gpus_->WorkersHaveRoom();  // before SubmitToWorkers uses it
  Finished();
}

void Dispatcher::Finished() {
  if (finished_.empty()) return;
  backend_progress_ = true;
  assert(finished_.size() <= in_flight_);
  in_flight_ -= static_cast<uint32_t>(finished_.size());
  turn_.now_ns = Tick();
  for (size_t i = 0; i < finished_.size();) {
    GuestRing* ring = finished_[i].ring;
    if (finished_[i].faulted && on_fault_) [[unlikely]] on_fault_();
    const size_t run = ring->SlotsFinished(std::span(finished_).subspan(i), turn_);
    if (run != 0) {
      i += run;
    } else if (!ring->PieceCameBack(finished_[i++], turn_)) {
      if (ring->session()->life().leaving()) [[unlikely]] SettleSession(ring->session());
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
  const int64_t end_ns = Tick();
  uint32_t ran = 0;
  for (const auto& answered : answered_) {
    for (const GuestRing* ring : answered) ran += ring->ran_inline;
  }
  const uint64_t service_ns = ran == 0 ? 0 : static_cast<uint64_t>(std::max<int64_t>(0, end_ns - turn_.now_ns)) / ran;
  for (size_t priority = kPriorities; priority-- > 0;) {
    std::vector<GuestRing*>& answered = answered_[priority];
    size_t called = 0;
    while (called < answered.size()) {
      GuestRing* ring = answered[called++];
      ring->CallIfNeeded();
      ring->session()->service.RecordMany(service_ns, ring->ran_inline);
      ring->has_answers = false;
      ring->ran_inline = 0;
      // Many guests that sleep are called over several turns, so that the next request of a higher class waits for a few.
      if (called < answered.size() && clock_->Now() - end_ns > policy::kCallNs) break;
    }
    answered.erase(answered.begin(), answered.begin() + static_cast<ptrdiff_t>(called));
    if (!answered.empty()) break;
  }
}

// ---- waiting ----

void Dispatcher::Idle() {
  if (polls()) {
    if (++idle_spins_ % kSpinsPerClock == 0) Tick();
    return Pause();
  }
  if (!idle_) {
    idle_ = true;
    idle_spins_ = 0;
    idle_since_ns_ = Tick();
    spin_until_ns_ = wait_.SpinUntil(idle_since_ns_);
  }
  if (spin_until_ns_ > idle_since_ns_) {
    Pause();
    if (++idle_spins_ % kSpinsPerClock != 0 || Tick() < spin_until_ns_) return;
  }
  if (!ArmSome()) return;
  ++counters_.sleeps;
  if (gpus_ != nullptr) gpus_->Rest();
  const int64_t slept_since_ns = clock_->Now();
  loop_->Wait(SleepNs());
  last_tick_ns_ = clock_->Now();
  computed_.Slept(last_tick_ns_ - slept_since_ns);
  loop_->RunReady();
  Tick();
}

// Until a ring is listened to again, if one is not.
int64_t Dispatcher::SleepNs() {
  if (deaf_.empty()) [[likely]] return EventLoop::kForever;
  const auto earlier = [](const GuestRing* a, const GuestRing* b) { return a->deaf_until_ns < b->deaf_until_ns; };
  const GuestRing* first = *std::min_element(deaf_.begin(), deaf_.end(), earlier);
  return std::max<int64_t>(0, first->deaf_until_ns - clock_->Now());
}

// True: all are armed. Some at a time, so that a request waits for a few of them only.
bool Dispatcher::ArmSome() {
  VGPU_CRASH_POINT("before_arm");
  bool all = true;
  for (HotList& list : hot_) {
    const size_t size = list.rings.size();
    for (size_t i = size; i-- > size - std::min(size, policy::kArmsMax);) {
      GuestRing* ring = list.rings[i];
      if (VGPU_MUTANT("dropped_rearm") || ring->Arm()) MakeCold(ring);
    }
    all &= list.rings.empty();
  }
  VGPU_CRASH_POINT("after_arm");
  return all;
}

// While some guests keep the loop awake, the others' rings leave the list of what is polled.
void Dispatcher::ArmIdleRings() {
  for (HotList& list : hot_) {
    for (size_t i = std::min(list.rings.size(), policy::kArmsMax); i-- > 0;) {
      const size_t at = list.next++ % list.rings.size();
      GuestRing* ring = list.rings[at];
      if (!ring->worked && ring->Arm()) {
        MakeCold(ring);
        if (list.rings.empty()) break;
      } else {
        ring->worked = false;
      }
    }
  }
}

}  // namespace vgpu::mediator
