// SPDX-License-Identifier: Apache-2.0
// The loop's turn: take what guests published, decide who is next, run it or hand it to the backend, answer, call,
// and when nothing is left to do arm every ring, look again, and sleep.
//
// A ring is either hot (polled in every turn) or armed (its guest kicks). Idle guests cost nothing.
#ifndef VGPU_MEDIATOR_DISPATCHER_H_
#define VGPU_MEDIATOR_DISPATCHER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/published.h"
#include "mediator/backend.h"
#include "mediator/clock.h"
#include "mediator/event_loop.h"
#include "mediator/sched/scheduler.h"
#include "mediator/session.h"
#include "mediator/sched/wait_policy.h"
#include "serve/turn.h"

namespace vgpu::mediator {

// Written by the dispatcher's thread, read by any.
struct LoopCounters {
  base::Published<uint64_t> sleeps;
  base::Published<uint64_t> requests;
  base::Published<uint64_t> gaps;  // turns that took longer than any guest's budget
};

struct DispatcherOptions {
  WaitMode wait = WaitMode::kAdaptive;
  int64_t wake_cost_ns = 0;
  uint32_t sessions_max = 256;
  bool serves_suspects = false;  // its sessions have been slow before: that they are is no news
};

// One thread's: made, run and destroyed by it. Allocates in its constructor only.
class Dispatcher final : public SessionServer, private ReadyHandler, private BackendListener {
 public:
  // `trace` may be null. All outlive this. `clock` may be shared with other dispatchers: then a session can move.
  Dispatcher(EventLoop* loop, Backend* backend, SessionOwner* owner, serve::TraceSink* trace, const Clock* clock,
             const DispatcherOptions& options);

  // From now on it has the session: its rings are looked at once. With `call`, each guest is called once (a call may have
  // been left out by the dispatcher that had it before). False: too many descriptors are watched.
  bool Begin(Session* session, bool call);
  // Ends a session whose connection closed. Its owner hears OnEnded as soon as nothing of it is with the backend.
  void End(Session* session);
  // Gives the session up, with what is queued, so that another dispatcher can have it. Its owner hears OnLeft as soon as
  // nothing of it is with the backend.
  void Leave(Session* session);
  // Cancels everything and closes all rings; the owner hears OnResetDone. Lifts a fence, but not that of lost memory.
  void Reset(Session* session);
  // The guest lied, or harmed others.
  void Fence(Session* session, FenceReason reason);

  // ---- for its sessions ----
  void RingKicked(GuestRing* ring) override;
  void PeerWasSlow(Session* session) override;
  int64_t Now() const override { return clock_->Now(); }
  int64_t ComputedAtLeast(int64_t begin_ns) const override { return computed_.AtLeast(begin_ns, ThreadNs()); }

  // Runs until *stop, then waits for what the backend has, answers it, and returns.
  void Run(const bool* stop);
  // Called when a turn, or a worker's piece, took so long that somebody's memory may have held it up: pages were missed.
  void set_on_fault(std::function<void()> handler) { on_fault_ = std::move(handler); }

  const std::vector<Session*>& sessions() const { return sessions_; }
  // Any thread.
  const LoopCounters& counters() const { return counters_; }

 private:
  static constexpr uint32_t kSpinsPerClock = 16;
  static constexpr uint32_t kTurnsPerSweep = 4096;
  // Between two looks at the clock, without a sleep.
  static constexpr int64_t kGapNs = 300'000;
  // A ring whose kicks bring nothing so often in a row is not listened to for a while.
  static constexpr uint32_t kIdleKicksMax = 16;
  static constexpr int64_t kDeafNs = 10'000'000;

  // What waits for one place to run.
  struct Queues {
    Scheduler slots;
    Scheduler pieces;
  };

  // The rings of a class that are polled, and where the next look at them begins.
  struct HotList {
    std::vector<GuestRing*> rings;
    size_t next = 0;
  };

  bool Turn();
  bool TakeAll();
  void LookAt(HotList* list);
  // False: the guest lied, and the list of hot rings has changed.
  bool TakeFrom(GuestRing* ring);
  uint32_t LeftInTurn(Session* session) const;
  void RunInline();
  void SubmitSlots(uint32_t gpu);
  void SubmitPieces(uint32_t gpu);
  void SubmitAll();
  void PollBackend();
  void Finished();
  void CallGuests();
  bool HasAnswers() const;
  void DoChores();
  void Listen();
  void FenceLost();
  void OnReady() override;  // the backend finished pieces
  void SetOnDevice(Session* session, bool on_device) override;
  void SeatFree(Session* session) override { SettleSession(session); }
  void Idle();
  int64_t SleepNs();
  bool ArmSome();
  void ArmIdleRings();
  int64_t Tick();
  void SampleComputed(int64_t now_ns) { computed_.Take(now_ns, ThreadNs()); }
  void OnGap();

  void AskForGpu(Session* session);
  bool NobodyElseWaits(const GuestRing& ring) const;
  void Classify(GuestRing* ring);
  Queues& QueuesOf(const Session& session) {
    return queues_[session.seat().on_device() ? 1 + session.seat().gpu() : 0];
  }
  void SetWork(Scheduler* scheduler, Session::Work* work, uint32_t bit, bool has);
  void Answered(GuestRing* ring);
  void Settle(GuestRing* ring);
  void SettleSession(Session* session);
  void SettleEnding(Session* session);
  void MakeHot(GuestRing* ring);
  void MakeCold(GuestRing* ring);
  void HaveChore(GuestRing* ring);
  void StopListening(GuestRing* ring);
  void StopListeningIfIdle(GuestRing* ring);
  void StopListening(Session* session);
  void StopServing(Session* session);

  EventLoop* const loop_;
  Backend* const backend_;
  SessionOwner* const owner_;
  serve::Turn turn_;
  const Clock* const clock_;
  const bool serves_suspects_;
  WaitPolicy wait_;
  Scheduler inline_scheduler_;
  std::vector<Queues> queues_;  // of the CPU, then of each GPU
  std::vector<Session*> sessions_;
  std::array<HotList, kPriorities> hot_;
  std::vector<GuestRing*> ready_;  // of these, in this turn
  std::array<std::vector<GuestRing*>, kPriorities> answered_;  // rings with answers whose guest is to be called
  std::vector<Session*> chores_;  // with rings that have one
  size_t next_chore_ = 0;
  std::vector<GuestRing*> deaf_;  // not listened to for a while
  std::vector<Piece> finished_;
  std::vector<Session*> ask_for_gpu_;  // in this turn; one for each GPU that is parked
  std::function<void()> on_fault_;
  LoopCounters counters_;
  uint32_t turns_ = 0;
  uint64_t bus_errors_seen_ = 0;
  uint32_t in_flight_ = 0;      // pieces with the backend
  int64_t last_tick_ns_ = 0;
  ComputedSample computed_;     // taken anew when it is a millisecond old
  long faults_ = 0;             // of pages, of this thread, when it was last asked
  bool idle_ = false;
  bool backend_progress_ = false;
  int64_t idle_since_ns_ = 0;
  int64_t spin_until_ns_ = 0;
  uint32_t idle_spins_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_DISPATCHER_H_
