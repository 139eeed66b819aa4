// SPDX-License-Identifier: Apache-2.0
// The loop's turn: take what guests published, decide who is next, run it or hand it to the backend, answer, call,
// and when nothing is left to do arm every ring, look again, and sleep.
//
// A ring is either hot (polled in every turn) or armed (its guest kicks). Idle guests cost nothing.
#ifndef VGPU_MEDIATOR_DISPATCHER_H_
#define VGPU_MEDIATOR_DISPATCHER_H_

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "mediator/backend.h"
#include "mediator/clock.h"
#include "mediator/event_loop.h"
#include "mediator/scheduler.h"
#include "mediator/session.h"
#include "mediator/wait_policy.h"

namespace vgpu::mediator {

class Trace;

struct LoopCounters {
  uint64_t sleeps = 0;
  uint64_t requests = 0;
};

// Loop's thread only. Allocates nothing after the sessions were added.
class Dispatcher final : private ReadyHandler, private BackendListener {
 public:
  // `trace` may be null. All outlive this.
  Dispatcher(EventLoop* loop, Backend* backend, Trace* trace, WaitMode wait, int64_t wake_cost_ns);

  // The session begins: what an earlier mediator left is recovered, its rings are looked at once, its guest is called
  // once (an earlier mediator may have died between an answer and its call). False: too many descriptors.
  bool Begin(Session* session);
  // Ends a session whose connection closed. Its owner hears OnEnded as soon as nothing of it is with the backend.
  void End(Session* session);
  // Cancels everything and closes all rings; the owner hears OnResetDone. Lifts a fence.
  void Reset(Session* session);
  // The guest lied. `reason` is logged.
  void Fence(Session* session, std::string_view reason);

  void RingKicked(GuestRing* ring);

  // Runs until *stop, then waits for what the backend has, answers it, and returns.
  void Run(const bool* stop);
  // Called in each turn after a bus error in guest memory: set by the SIGBUS guard's owner.
  void set_on_bus_error(std::function<void()> handler) { on_bus_error_ = std::move(handler); }

  const std::vector<Session*>& sessions() const { return sessions_; }
  const LoopCounters& counters() const { return counters_; }
  int64_t Now() const { return clock_.Now(); }
  int64_t started_ns() const { return started_ns_; }

 private:
  // Bounds of one turn: no ring and no class can keep the others waiting for longer than about ten microseconds.
  static constexpr uint32_t kTakeMax = 32;
  static constexpr uint32_t kInlineMax = 256;    // InlineCost
  static constexpr uint32_t kSlotsPerTurn = 16;  // 0.4 us of the GPU
  static constexpr uint32_t kSpinsPerClock = 16;
  static constexpr uint32_t kTurnsPerSweep = 4096;

  // What waits for one place to run.
  struct Queues {
    Scheduler slots;
    Scheduler pieces;
  };

  bool Turn();
  bool TakeAll();
  // False: the guest lied, and the list of hot rings has changed.
  bool TakeFrom(GuestRing* ring);
  void RunInline();
  void SubmitSlots(uint32_t gpu);
  void SubmitPieces(uint32_t gpu);
  void SubmitAll();
  void PollBackend();
  void Finished();
  void CallGuests();
  void OnReady() override;  // the backend finished pieces
  void SetOnDevice(Session* session, bool on_device) override;
  void SeatFree(Session* session) override { SettleSession(session); }
  void Idle();
  bool ArmAll();
  void ArmIdleRings();

  void AskForGpu(Session* session);
  bool NobodyElseWaits(const GuestRing& ring) const;
  void Classify(GuestRing* ring);
  Queues& QueuesOf(const Session& session) {
    return queues_[session.seat.on_device ? 1 + session.seat.gpu : 0];
  }
  void SetWork(Scheduler* scheduler, Session::Work* work, uint32_t bit, bool has);
  void Answered(GuestRing* ring);
  void Settle(GuestRing* ring);
  void SettleSession(Session* session);
  void MakeHot(GuestRing* ring);
  void MakeCold(GuestRing* ring);

  EventLoop* const loop_;
  Backend* const backend_;
  Trace* const trace_;
  const Clock clock_;
  const int64_t started_ns_ = clock_.Now();
  WaitPolicy wait_;
  Scheduler inline_scheduler_;
  std::vector<Queues> queues_;  // of the CPU, then of each GPU
  std::vector<Session*> sessions_;
  std::vector<GuestRing*> hot_;
  std::vector<GuestRing*> ready_;  // of these, in this turn
  std::vector<GuestRing*> answered_;  // rings with answers in this turn
  std::vector<Piece> finished_;
  std::vector<Session*> ask_for_gpu_;  // in this turn; one for each GPU that is parked
  std::function<void()> on_bus_error_;
  LoopCounters counters_;
  uint32_t turns_ = 0;
  uint64_t bus_errors_seen_ = 0;
  uint32_t in_flight_ = 0;      // pieces with the backend
  int64_t now_ns_ = 0;          // of this turn
  bool idle_ = false;
  bool backend_progress_ = false;
  int64_t idle_since_ns_ = 0;
  int64_t spin_until_ns_ = 0;
  uint32_t idle_spins_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_DISPATCHER_H_
