// SPDX-License-Identifier: Apache-2.0
// One iteration of a lane: take what guests published, decide who is next, run it or hand it to the backend,
// answer, and call. When nothing is left to do: arm every ring, check again, and sleep.
//
// Requests run in three places: on this thread, with the CPU's workers, and on a GPU. Each place has run
// queues of its own, and the dispatcher alone decides which place a request goes to (Classify).
//
// An open ring is either polled in every iteration (`polled`) or armed, so that its guest kicks. Idle guests
// cost nothing.
#ifndef VGPU_MEDIATOR_LANE_DISPATCHER_H_
#define VGPU_MEDIATOR_LANE_DISPATCHER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/published.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/memory_holder.h"
#include "mediator/lane/session.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/event_loop.h"
#include "mediator/sched/scheduler.h"
#include "mediator/sched/wait_policy.h"
#include "serve/iteration.h"

namespace vgpu::mediator {

// Written by the dispatcher's thread, read by any.
struct LaneCounters {
  base::Published<uint64_t> sleeps;
  base::Published<uint64_t> requests;
  base::Published<uint64_t> long_iterations;  // long iterations (policy::kLongIterationNs)
};

// What computes for a dispatcher.
struct Backend {
  Workers* workers;                // never null
  Gpus* gpus = nullptr;            // null: there is no GPU
  MemoryHolder* memory = nullptr;  // of the GPUs; null: there is no GPU
};

struct DispatcherOptions {
  WaitMode wait = WaitMode::kAdaptive;
  int64_t wake_cost_ns = 0;
  uint32_t sessions_max = 256;
  bool isolated = false;  // the isolated lane: that its sessions are slow is known
};

// One thread's: made, run and destroyed by it. Allocates in its constructor only.
class Dispatcher final : public SessionServer, private ReadyHandler, private PlacementListener {
 public:
  // `trace` may be null. All outlive this. `clock` may be shared with other dispatchers:
  // then a session can move.
  Dispatcher(EventLoop* loop, const Backend& backend, SessionOwner* owner, serve::TraceSink* trace,
             const Clock* clock, const DispatcherOptions& options);

  // From now on it has the session, and checks its rings once. With `call`, each guest is called once, since
  // the dispatcher that had the session before may have left out a call. False:
  // too many descriptors are watched.
  bool Begin(Session* session, bool call);
  // Ends a session whose connection closed. OnEnded follows as soon as nothing of it is with the backend.
  void End(Session* session);
  // Gives the session up, with what is queued, so that another dispatcher can have it. OnLeft follows as soon
  // as nothing of it is with the backend.
  void Leave(Session* session);
  // Cancels everything and closes all rings but the window ring; OnResetDone follows. Lifts a fence, but not
  // that of lost memory or of a quarantine.
  void Reset(Session* session);
  // The guest lied, or harmed others.
  void Fence(Session* session, FenceReason reason);

  // ---- for its sessions ----
  void RingKicked(GuestRing* ring) override;
  void PeerWasSlow(Session* session) override;
  EventLoop& loop() const override { return *loop_; }
  int64_t Now() const override { return clock_->Now(); }
  int64_t ThreadNs() const override { return clock_->ThreadNs(); }
  int64_t ComputedAtLeast(int64_t begin_ns) const override { return computed_.AtLeast(begin_ns, ThreadNs()); }

  // Runs until *stop, then waits for what the backend has, answers it, and returns.
  void Run(const bool* stop);
  // Called after a long iteration, or a long piece of a worker, with page faults:
  // some VM's pages were taken away.
  void set_on_fault(std::function<void()> handler) { on_fault_ = std::move(handler); }

  const std::vector<Session*>& sessions() const { return sessions_; }
  // Any thread.
  const LaneCounters& counters() const { return counters_; }

 private:
  static constexpr uint32_t kSpinsPerClock = 16;
  static constexpr uint32_t kIterationsPerSweep = 4096;

  // What waits for one GPU.
  struct GpuQueues {
    Scheduler slots;  // small requests
    Scheduler pieces;
  };

  // The polled rings of a class, and with which one the next iteration begins.
  struct PolledList {
    std::vector<GuestRing*> rings;
    size_t next = 0;
  };

  bool Iterate();
  bool TakeAll();
  void CheckPolled(PolledList* list);
  // False: the guest lied, and the list of polled rings has changed.
  bool TakeFrom(GuestRing* ring);
  uint32_t LeftInIteration(Session* session) const;
  void RunInline();
  void SubmitToWorkers();
  void SubmitSlots(Scheduler* slots);
  void SubmitToGpu(Scheduler* pieces);
  void SubmitAll();
  Piece NextPiece(Scheduler* scheduler, Session::Work* work, GuestRing* ring, uint64_t length);
  bool polls() const { return gpus_ != nullptr && gpus_->polls(); }
  void PollGpus();
  void Finished();
  void CallGuests();
  bool HasAnswers() const;
  void DoMaintenance();
  void Listen();
  void FenceLost();
  void OnReady() override;  // the workers have finished pieces
  void OnPlacement(Session* session, bool on_device) override;
  void OnMemoryFree(Session* session) override { SettleSession(session); }
  void Idle();
  int64_t SleepNs();
  bool ArmSome();
  void ArmIdleRings();
  int64_t ReadClock();
  void SampleComputed(int64_t now_ns) { computed_.Take(now_ns, ThreadNs()); }
  void OnLongIteration();

  void AskForGpu(Session* session);
  bool NobodyElseWaits(const GuestRing& ring) const;
  void Classify(GuestRing* ring);
  void SetWork(Scheduler* scheduler, Session::Work* work, uint32_t bit, bool has);
  void Answered(GuestRing* ring);
  void Settle(GuestRing* ring);
  void SettleSession(Session* session);
  void SettleEnding(Session* session);
  void StartPolling(GuestRing* ring);
  void StopPolling(GuestRing* ring);
  void NeedMaintenance(GuestRing* ring);
  void StopListening(GuestRing* ring);
  void StopListeningIfIdle(GuestRing* ring);
  void StopListening(Session* session);
  void StopServing(Session* session);

  EventLoop* const loop_;
  Workers* const workers_;
  Gpus* const gpus_;            // null: there is none
  MemoryHolder* const memory_;  // likewise
  SessionOwner* const owner_;
  serve::Iteration iteration_;
  const Clock* const clock_;
  const bool isolated_;
  WaitPolicy wait_;
  Scheduler inline_scheduler_;
  Scheduler worker_scheduler_;
  std::vector<GpuQueues> gpu_queues_;  // by GPU
  std::vector<Session*> sessions_;
  std::array<PolledList, kPriorities> polled_;
  std::vector<GuestRing*> ready_;  // polled rings that have a request, in this iteration
  // Rings with answers whose guest is to be called.
  std::array<std::vector<GuestRing*>, kPriorities> answered_;
  std::vector<Session*> maintenance_;  // with rings that need it
  size_t next_maintenance_ = 0;
  std::vector<GuestRing*> muted_;  // muted
  std::vector<Piece> finished_;
  std::vector<Session*> ask_for_gpu_;  // in this iteration; one for each GPU that is parked
  std::function<void()> on_fault_;
  LaneCounters counters_;
  uint32_t iterations_ = 0;
  uint64_t bus_errors_seen_ = 0;
  uint32_t in_flight_ = 0;  // pieces with the backend, and small requests with GPUs
  int64_t last_read_ns_ = 0;
  ComputedSample computed_;  // taken anew when it is a millisecond old
  long faults_ = 0;          // of pages, of this thread, when it was last asked
  bool idle_ = false;
  bool backend_progress_ = false;
  int64_t idle_since_ns_ = 0;
  int64_t spin_until_ns_ = 0;
  uint32_t idle_spins_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_DISPATCHER_H_
