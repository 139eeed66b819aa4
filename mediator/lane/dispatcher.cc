// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/dispatcher.h"

#include <sys/resource.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "base/bus_error_guard.h"
#include "base/crash_point.h"
#include "base/mutant.h"
#include "mediator/requests/operations.h"
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
  return session.placement().on_device() && request.op->gpu_job != kNotOnGpu;
}

}  // namespace

Dispatcher::Dispatcher(EventLoop* loop, const Backend& backend, SessionOwner* owner, serve::TraceSink* trace,
                       const Clock* clock, const DispatcherOptions& options)
    : loop_(loop),
      workers_(backend.workers),
      gpus_(backend.gpus),
      memory_(backend.memory),
      owner_(owner),
      iteration_{0, trace},
      clock_(clock),
      isolated_(options.isolated),
      wait_(options.wait, options.wake_cost_ns) {
  assert((gpus_ == nullptr) == (memory_ == nullptr));
  [[maybe_unused]] const int watch = loop_->Watch(workers_->finished_fd(), this);
  assert(watch >= 0);
  if (gpus_ != nullptr) {
    gpu_queues_.resize(gpus_->count());
    ask_for_gpu_.reserve(gpus_->count());
    memory_->SetListener(this);
  }
  // So that no push_back of an iteration allocates.
  const size_t rings = size_t{options.sessions_max} * (VGPU_RINGS_MAX + 1);
  sessions_.reserve(options.sessions_max);
  for (PolledList& list : polled_) list.rings.reserve(rings);
  for (std::vector<GuestRing*>& list : answered_) list.reserve(rings);
  for (std::vector<GuestRing*>* list : {&ready_, &muted_}) list->reserve(rings);
  maintenance_.reserve(options.sessions_max);
  finished_.reserve(1024);
  faults_ = PageFaults();
  last_read_ns_ = clock_->Now();
  SampleComputed(last_read_ns_);
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
    ring->CheckEpoch();
    if (ring->in_progress()) NeedMaintenance(ring.get());
    Settle(ring.get());
    if (ring->state() == serve::RingState::kOpen) StartPolling(ring.get());
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
    StopPolling(ring.get());
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
    StopPolling(ring.get());
    Classify(ring.get());
  }
}

void Dispatcher::Reset(Session* session) {
  if (!session->BeginReset()) return SettleSession(session);
  for (const auto& ring : session->rings()) {
    if (ring->window()) {  // QEMU's own: it tells late answers apart by their index
      ring->LiftFence();
      if (ring->state() == serve::RingState::kOpen) StartPolling(ring.get());
      continue;
    }
    ring->RequestClose();
    StopPolling(ring.get());
    Classify(ring.get());
    ring->BeginIfDue();
    if (ring->in_progress()) NeedMaintenance(ring.get());
  }
  SettleSession(session);
}

void Dispatcher::Fence(Session* session, FenceReason reason) {
  const FenceChange change = session->Fence(reason);
  if (change == FenceChange::kNothing) return;
  if (change == FenceChange::kStronger) return owner_->OnFenced(session, reason);
  for (const auto& ring : session->rings()) {
    StopPolling(ring.get());
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
  if (ring->CheckEpoch()) {
    ring->idle_kicks = 0;
    StopPolling(ring);
    Classify(ring);
    Settle(ring);
  }
  if (ring->state() == serve::RingState::kOpen) StartPolling(ring);
  StopListeningIfIdle(ring);
}

void Dispatcher::StopListeningIfIdle(GuestRing* ring) {
  if (ring->idle_kicks < policy::kVainKicksMax || ring->watch < 0) return;
  ring->idle_kicks = 0;
  StopListening(ring);
  ring->muted_until_ns = clock_->Now() + policy::kMutedNs;
  muted_.push_back(ring);
}

void Dispatcher::StopListening(GuestRing* ring) { loop_->Unwatch(std::exchange(ring->watch, -1)); }

void Dispatcher::StopListening(Session* session) {
  std::array<int, VGPU_RINGS_MAX + 1> watches;
  size_t count = 0;
  for (const auto& ring : session->rings()) watches[count++] = std::exchange(ring->watch, -1);
  loop_->UnwatchAll(std::span(watches).first(count));
  std::erase_if(muted_, [session](const GuestRing* ring) { return ring->session() == session; });
}

// Those that were muted long enough are listened to again.
void Dispatcher::Listen() {
  const int64_t now_ns = clock_->Now();
  for (size_t i = muted_.size(); i-- > 0;) {
    GuestRing* ring = muted_[i];
    if (ring->muted_until_ns > now_ns) continue;
    ring->watch = loop_->Watch(ring->kick_fd(), ring);
    if (ring->watch < 0) continue;  // cannot be: its place was free
    muted_[i] = muted_.back();
    muted_.pop_back();
  }
}

void Dispatcher::PeerWasSlow(Session* session) {
  if (isolated_ || !session->life().served()) return;
  session->Suspend();
  StopServing(session);
  owner_->OnSlow(session);
}

void Dispatcher::NeedMaintenance(GuestRing* ring) {
  if (ring->needs_maintenance) return;
  Session* session = ring->session();
  ring->needs_maintenance = true;
  if (session->maintenance_work.rings == 0) {
    maintenance_.push_back(session);
    session->maintenance_work.last = 31;  // from its first ring on
  }
  session->maintenance_work.rings |= 1u << ring->index();
}

// Turns of VMs, and of a VM's rings within its own.
void Dispatcher::DoMaintenance() {
  if (next_maintenance_ >= maintenance_.size()) next_maintenance_ = 0;
  Session* session = maintenance_[next_maintenance_];
  Session::Work& work = session->maintenance_work;
  GuestRing* ring = work.NextRing();
  const bool gone = session->life().going() || !ring->in_progress();
  if (!gone && !ring->Advance(policy::kMaintenanceSlots)) {
    ++next_maintenance_;  // the others have their turn
    return;
  }
  ring->needs_maintenance = false;
  work.rings &= ~(1u << ring->index());
  if (work.rings == 0) {
    maintenance_[next_maintenance_] = maintenance_.back();
    maintenance_.pop_back();
  } else {
    ++next_maintenance_;
  }
  if (gone) return;
  if (!session->fenced()) ring->CheckEpoch();  // the guest may have asked for the next one meanwhile
  if (ring->state() == serve::RingState::kOpen) StartPolling(ring);
  Settle(ring);
}

// What was put off because pieces of this ring were with the backend, and who is next afterwards.
void Dispatcher::Settle(GuestRing* ring) {
  if (ring->busy()) return Classify(ring);
  Session* session = ring->session();
  if (!session->life().ending()) ring->BeginIfDue();
  if (ring->in_progress()) NeedMaintenance(ring);
  Classify(ring);
  SettleSession(session);
}

void Dispatcher::SettleSession(Session* session) {
  // A request that is between two pieces goes with it: suspended, it gets no more of them here.
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
  std::erase(maintenance_, session);
  session->maintenance_work.rings = 0;
  for (const auto& ring : session->rings()) ring->needs_maintenance = ring->has_answers = false;
  if (session->life().ending()) {
    session->Ended();
    return owner_->OnEnded(session);
  }
  session->Left();
  owner_->OnLeft(session);
}

void Dispatcher::StartPolling(GuestRing* ring) {
  if (ring->polled || ring->session()->life().suspended()) return;
  std::vector<GuestRing*>& polled = polled_[ring->session()->priority()].rings;
  ring->polled = true;
  ring->worked = true;
  ring->polled_index = polled.size();
  polled.push_back(ring);
}

void Dispatcher::StopPolling(GuestRing* ring) {
  if (!ring->polled) return;
  std::vector<GuestRing*>& polled = polled_[ring->session()->priority()].rings;
  ring->polled = false;
  polled[ring->polled_index] = polled.back();
  polled[ring->polled_index]->polled_index = ring->polled_index;
  polled.pop_back();
}

// ---- the iteration ----

void Dispatcher::Run(const bool* stop) {
  while (!*stop) {
    if (Iterate()) {
      if (idle_) {
        wait_.WorkCame(iteration_.now_ns);
        idle_ = false;
      }
    } else {
      Idle();
    }
    if (++iterations_ % kIterationsPerSweep != 0) continue;
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

// The time. Called often enough, it also notices a long iteration.
int64_t Dispatcher::ReadClock() {
  const int64_t now_ns = clock_->Now();
  const int64_t before_ns = std::exchange(last_read_ns_, now_ns);
  if (now_ns - before_ns > policy::kLongIterationNs) [[unlikely]]
    OnLongIteration();
  if (computed_.old(now_ns)) [[unlikely]]
    SampleComputed(now_ns);
  return now_ns;
}

// The memory of guests is all mapped: only a page that was taken away is missed, and then this thread has had
// a page fault. Otherwise it was the machine.
void Dispatcher::OnLongIteration() {
  ++counters_.long_iterations;
  const long before = std::exchange(faults_, PageFaults());
  if (faults_ != before && on_fault_) on_fault_();
}

bool Dispatcher::Iterate() {
  iteration_.now_ns = 0;
  bool progress = loop_->Poll() > 0;
  PollGpus();
  progress |= backend_progress_;  // found by these, or by the Sleep before
  backend_progress_ = false;
  progress |= TakeAll();
  if (progress && iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  if (!inline_scheduler_.empty()) RunInline();
  SubmitAll();
  if (!maintenance_.empty()) DoMaintenance();
  if (HasAnswers()) CallGuests();
  if (!muted_.empty()) [[unlikely]]
    Listen();
  // Nobody waits for that: after the answers.
  if (!ask_for_gpu_.empty()) [[unlikely]] {
    for (Session* session : ask_for_gpu_) memory_->Wake(session);
    ask_for_gpu_.clear();
  }
  if (base::bus_error_guard::TotalHits() != bus_errors_seen_) [[unlikely]] {
    bus_errors_seen_ = base::bus_error_guard::TotalHits();
    FenceLost();
  }
  const bool more = progress || !inline_scheduler_.empty() || !maintenance_.empty() || HasAnswers();
  if (more && iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  return more;
}

bool Dispatcher::TakeAll() {
  ready_.clear();
  for (size_t priority = kPriorities; priority-- > 0;) {
    if (!polled_[priority].rings.empty()) CheckPolled(&polled_[priority]);
  }
  if (ready_.empty()) return false;
  if (iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  for (size_t i = 0; i < ready_.size(); ++i) {
    if (!TakeFrom(ready_[i])) break;  // it lied: the others are taken from in the next iteration
    if (i % policy::kRingsPerClock != policy::kRingsPerClock - 1 || i + 1 == ready_.size()) continue;
    if (clock_->Now() - iteration_.now_ns < policy::kTakeNs) continue;
    // The first that was left out begins its class in the next iteration.
    const GuestRing* next = ready_[i + 1];
    polled_[next->session()->priority()].next = next->polled_index;
    break;
  }
  return true;
}

// Finds who has requests; of a long list, a part in each iteration.
void Dispatcher::CheckPolled(PolledList* list) {
  const size_t size = list->rings.size();
  const size_t checks = std::min<size_t>(size, policy::kChecksMax);
  size_t at = list->next < size ? list->next : 0;
  for (size_t i = 0; i < checks; ++i) {
    GuestRing* ring = list->rings[at];
    at = at + 1 == size ? 0 : at + 1;
    if (i + 1 < checks) list->rings[at]->PrefetchNext();
    if (ring->Ready()) ready_.push_back(ring);
  }
  list->next = checks == size ? list->next + 1 : at;
}

// So that a VM with eight rings has no more turns than one with a single ring.
uint32_t Dispatcher::LeftInIteration(Session* session) const {
  return policy::kTakeMax - std::min(policy::kTakeMax, session->TakenIn(iterations_));
}

bool Dispatcher::TakeFrom(GuestRing* ring) {
  uint32_t taken = 0;
  if (NobodyElseWaits(*ring)) {
    // A guest that has many outstanding works on the first answers while the next ones are made; if others
    // may come, they are looked for in between.
    const bool others_may_come =
        polled_[0].rings.size() + polled_[1].rings.size() + polled_[2].rings.size() != 1;
    const uint32_t most = others_may_come ? policy::kTakeMax : policy::kInlineMax;
    uint32_t ran = 0;
    do {
      ran = ring->TakeAndAnswer(policy::kTakeMax, iteration_, &taken);
      ring->ran_inline += ran;
    } while (ran == policy::kTakeMax && ring->ran_inline < most && ring->Ready());
    if (ring->ran_inline != 0) Answered(ring);
  } else {
    const uint32_t left = LeftInIteration(ring->session());
    if (left == 0) return true;
    if (ring->Take(left, iteration_, &taken) == GuestRing::TakeStatus::kLied) [[unlikely]] {
      Fence(ring->session(), FenceReason::kSlotReused);
      return false;
    }
    ring->session()->CountTaken(iterations_, taken);
  }
  ring->worked = true;
  counters_.requests += taken;
  if (ring->session()->placement().parked() && ring->TookForGpu(taken)) [[unlikely]]
    AskForGpu(ring->session());
  if (!ring->idle()) Classify(ring);
  return true;
}

void Dispatcher::AskForGpu(Session* session) {
  const auto same = [session](const Session* other) {
    return other->placement().gpu() == session->placement().gpu();
  };
  if (std::none_of(ask_for_gpu_.begin(), ask_for_gpu_.end(), same)) ask_for_gpu_.push_back(session);
}

// Then its requests need no queue: whatever the order of service is, they are next.
bool Dispatcher::NobodyElseWaits(const GuestRing& ring) const {
  const Placement& placement = ring.session()->placement();
  return ready_.size() == 1 && !ring.window() && ring.idle() && !placement.on_device() &&
         !placement.parked() && inline_scheduler_.empty() && iteration_.trace == nullptr;
}

// Which place the ring's head goes to, and in which queue its session waits there. Decided when the head
// changes, and when the session's placement does.
void Dispatcher::Classify(GuestRing* ring) {
  Session* session = ring->session();
  const uint32_t bit = 1u << ring->index();
  const Request* head = session->life().suspended() ? nullptr : ring->Head();
  using serve::Way;
  const bool any = head != nullptr;
  const Way way = any ? ring->WayOf(*head) : Way::kInline;
  const bool in_pieces = any && way == Way::kPieces;
  const bool on_gpu = in_pieces && RunsOnGpu(*session, *head);
  SetWork(&inline_scheduler_, &session->inline_work, bit, any && way == Way::kInline);
  SetWork(&worker_scheduler_, &session->worker_work, bit, in_pieces && !on_gpu);
  if (!session->placement().on_device()) return;  // OnPlacement has emptied its GPU's queues of it
  GpuQueues& queues = gpu_queues_[session->placement().gpu()];
  SetWork(&queues.slots, &session->slot_work, bit, any && way == Way::kSlot);
  SetWork(&queues.pieces, &session->gpu_work, bit, on_gpu);
}

void Dispatcher::OnPlacement(Session* session, bool on_device) {
  assert(session->placement().on_device() == on_device);
  if (!on_device) {
    GpuQueues& before = gpu_queues_[session->placement().gpu()];
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
  if (iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  uint32_t left = policy::kInlineMax;
  while (left != 0) {
    Session::Work* work = static_cast<Session::Work*>(inline_scheduler_.Next());
    if (work == nullptr) return;
    GuestRing* ring = work->NextRing();
    // Turns of one request; the only one of its class need not give way to itself.
    const bool only_one = work->next == work && (work->rings & (work->rings - 1)) == 0;
    uint32_t cost = 0;
    ring->ran_inline += ring->RunInline(only_one ? left : 1, iteration_, &cost);
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
  if (iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  while (Session::Work* work = static_cast<Session::Work*>(slots->Next())) {
    GuestRing* ring = work->NextRing();
    const uint32_t room = gpus_->SlotRoom(*ring);
    if (room == 0) return;
    // Turns of a few requests; the only one of its class need not give way to itself.
    const bool only_one = work->next == work && (work->rings & (work->rings - 1)) == 0;
    in_flight_ +=
        ring->SubmitSlots(only_one ? room : std::min(room, policy::kSlotsPerTurn), gpus_, iteration_);
    Classify(ring);
    if (work->queued) slots->Yield(work);
  }
}

void Dispatcher::SubmitToWorkers() {
  if (iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  while (Session::Work* work = static_cast<Session::Work*>(worker_scheduler_.Next())) {
    if (!workers_->HasRoom()) return;
    GuestRing* ring = work->NextRing();
    const uint64_t length = workers_->PieceLength(*ring->Head());
    workers_->Submit(NextPiece(&worker_scheduler_, work, ring, length));
  }
}

void Dispatcher::SubmitToGpu(Scheduler* pieces) {
  if (iteration_.now_ns == 0) iteration_.now_ns = ReadClock();
  while (Session::Work* work = static_cast<Session::Work*>(pieces->Next())) {
    GuestRing* ring = work->NextRing();
    const Plan plan = gpus_->PlanPiece(*ring, *ring->Head(), iteration_.now_ns);
    if (!gpus_->HasRoom(*ring, plan)) return;
    gpus_->Submit(NextPiece(pieces, work, ring, plan.elements), plan);
  }
}

// Cuts the next piece, of at most `length` elements, off the ring's head, and ends the turn of its session.
Piece Dispatcher::NextPiece(Scheduler* scheduler, Session::Work* work, GuestRing* ring, uint64_t length) {
  Piece piece;
  const bool more = ring->CutPiece(length, iteration_, &piece);
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
  iteration_.now_ns = ReadClock();
  for (size_t i = 0; i < finished_.size();) {
    GuestRing* ring = finished_[i].ring;
    if (finished_[i].faulted && on_fault_) [[unlikely]]
      on_fault_();
    const size_t run = ring->SlotsFinished(std::span(finished_).subspan(i), iteration_);
    if (run != 0) {
      i += run;
    } else if (!ring->PieceCameBack(finished_[i++], iteration_)) {
      if (ring->session()->life().leaving()) [[unlikely]]
        SettleSession(ring->session());
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
  const int64_t end_ns = ReadClock();
  uint32_t ran = 0;
  for (const auto& answered : answered_) {
    for (const GuestRing* ring : answered) ran += ring->ran_inline;
  }
  const uint64_t service_ns =
      ran == 0 ? 0 : static_cast<uint64_t>(std::max<int64_t>(0, end_ns - iteration_.now_ns)) / ran;
  for (size_t priority = kPriorities; priority-- > 0;) {
    std::vector<GuestRing*>& answered = answered_[priority];
    size_t called = 0;
    while (called < answered.size()) {
      GuestRing* ring = answered[called++];
      ring->CallIfNeeded();
      ring->session()->service.RecordMany(service_ns, ring->ran_inline);
      ring->has_answers = false;
      ring->ran_inline = 0;
      // Many guests that sleep are called over several iterations, so that the next request of a higher class
      // waits for a few.
      if (called < answered.size() && clock_->Now() - end_ns > policy::kCallNs) break;
    }
    answered.erase(answered.begin(), answered.begin() + static_cast<ptrdiff_t>(called));
    if (!answered.empty()) break;
  }
}

// ---- waiting ----

void Dispatcher::Idle() {
  if (polls()) {
    if (++idle_spins_ % kSpinsPerClock == 0) ReadClock();
    return Pause();
  }
  if (!idle_) {
    idle_ = true;
    idle_spins_ = 0;
    idle_since_ns_ = ReadClock();
    spin_until_ns_ = wait_.SpinUntil(idle_since_ns_);
  }
  if (spin_until_ns_ > idle_since_ns_) {
    Pause();
    if (++idle_spins_ % kSpinsPerClock != 0 || ReadClock() < spin_until_ns_) return;
  }
  if (!ArmSome()) return;
  ++counters_.sleeps;
  if (gpus_ != nullptr) gpus_->Rest();
  const int64_t slept_since_ns = clock_->Now();
  loop_->Wait(SleepNs());
  last_read_ns_ = clock_->Now();
  computed_.Slept(last_read_ns_ - slept_since_ns);
  loop_->RunReady();
  ReadClock();
}

// Until a ring is listened to again, if one is not.
int64_t Dispatcher::SleepNs() {
  if (muted_.empty()) [[likely]]
    return EventLoop::kForever;
  const auto earlier = [](const GuestRing* a, const GuestRing* b) {
    return a->muted_until_ns < b->muted_until_ns;
  };
  const GuestRing* first = *std::min_element(muted_.begin(), muted_.end(), earlier);
  return std::max<int64_t>(0, first->muted_until_ns - clock_->Now());
}

// True: all are armed. Some at a time, so that a request waits for a few of them only.
bool Dispatcher::ArmSome() {
  VGPU_CRASH_POINT("before_arm");
  bool all = true;
  for (PolledList& list : polled_) {
    const size_t size = list.rings.size();
    for (size_t i = size; i-- > size - std::min(size, policy::kArmsMax);) {
      GuestRing* ring = list.rings[i];
      if (VGPU_MUTANT("dropped_rearm") || ring->Arm()) StopPolling(ring);
    }
    all &= list.rings.empty();
  }
  VGPU_CRASH_POINT("after_arm");
  return all;
}

// While some guests keep the loop awake, the others' rings leave the list of what is polled.
void Dispatcher::ArmIdleRings() {
  for (PolledList& list : polled_) {
    for (size_t i = std::min(list.rings.size(), policy::kArmsMax); i-- > 0;) {
      const size_t at = list.next++ % list.rings.size();
      GuestRing* ring = list.rings[at];
      if (!ring->worked && ring->Arm()) {
        StopPolling(ring);
        if (list.rings.empty()) break;
      } else {
        ring->worked = false;
      }
    }
  }
}

}  // namespace vgpu::mediator
