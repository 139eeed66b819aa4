// SPDX-License-Identifier: Apache-2.0
// One attached VM (or host process): its mappings, its rings, and where it is in its life (session_life.h).
// Without sockets.
//
// The memory thread makes it and destroys it (attach_task.h). In between one dispatcher at a time has it.
// Other threads read only what is marked so, and what is Published.
#ifndef VGPU_MEDIATOR_LANE_SESSION_H_
#define VGPU_MEDIATOR_LANE_SESSION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "api/device_info.h"
#include "base/guarded_mapping.h"
#include "base/histogram.h"
#include "base/mutant.h"
#include "base/published.h"
#include "mediator/lane/guest_ring.h"
#include "mediator/lane/placement.h"
#include "mediator/lane/session_life.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/peer_fd.h"
#include "mediator/loop/slow_calls.h"
#include "mediator/sched/scheduler.h"
#include "ring/abi.h"

namespace vgpu::mediator {

class Session;

// What a session needs from the dispatcher that has it. Called on that dispatcher's thread.
class SessionServer {
 public:
  virtual void RingKicked(GuestRing* ring) = 0;
  virtual EventLoop& loop() const = 0;
  // Steady clock, ns.
  virtual int64_t Now() const = 0;
  // Nanoseconds of processor time that this thread has used. A system call.
  virtual int64_t ThreadNs() const = 0;
  // Nanoseconds of processor time that this thread has used since that moment of the clock, at least.
  virtual int64_t ComputedAtLeast(int64_t begin_ns) const = 0;
  // System calls on descriptors of the session's owner have taken too long (slow_calls.h).
  virtual void PeerWasSlow(Session* session) = 0;

 protected:
  ~SessionServer() = default;
};

// Who stands behind the sessions of a dispatcher. Called on the dispatcher's thread;
// must not wait for anybody.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  virtual void OnFenced(Session* session, FenceReason reason) = 0;
  virtual void OnResetDone(Session* session) = 0;
  // System calls on descriptors of its owner have taken too long. Its kicks are not heard and its rings are
  // not checked until another dispatcher has it.
  virtual void OnSlow(Session* session) = 0;
  virtual void OnLeft(Session* session) = 0;
  virtual void OnEnded(Session* session) = 0;  // the session may be destroyed afterwards, not within
};

// What was granted at attach.
struct Identity {
  uint32_t vm_id;
  uint32_t pool;      // ASCII
  uint32_t priority;  // 0 low, 1 medium, 2 high
};

// Checked, mapped and populated memory of a session (attach.h makes it).
struct SessionMemory {
  base::GuardedMapping region;  // the rings file over the region's; empty with ring=off
  PeerFd region_fd;             // for engines that come later
  PeerFd rings_fd;              // likewise; invalid with ring=off, and of an owner that has none
  base::GuardedMapping private_file;
  vgpu_layout layout{};  // ring_count 0 with ring=off
  // Are ring lines, or arenas, in a file that is punched quickly (short_file.h), so that the thread that
  // serves rings may touch them?
  bool rings_are_short = true;
  bool arenas_are_short = true;
};

struct RingEventfds {
  PeerFd kick;
  PeerFd call;
};

class Session final : private RingSession {
 public:
  // `rings` has an entry for each ring of the layout; `window` is the register window's.
  // No dispatcher has it yet.
  Session(Identity identity, SessionMemory memory, std::vector<RingEventfds> rings, RingEventfds window,
          const vgpu_device_info& device);

  // ---- any thread: fixed until TakeMemory ----
  uint32_t vm_id() const { return identity_.vm_id; }
  uint32_t pool() const { return identity_.pool; }
  uint32_t priority() const { return identity_.priority; }
  const SessionMemory& memory() const { return memory_; }
  // The rings of the region, then the window ring. What of a ring is Published, any thread may read.
  const std::vector<std::unique_ptr<GuestRing>>& rings() const { return rings_; }

  // Once nobody uses it any more.
  SessionMemory TakeMemory() { return std::move(memory_); }
  // Before the first dispatcher has it, on any thread: goes on where an earlier mediator stopped, and calls
  // each ring's guest once, since that mediator may have died between an answer and its call. Returns the
  // nanoseconds of processor time of the longest call, by the dispatchers' clock.
  int64_t Recover(const Clock& clock);

  // ---- any thread ----
  bool fenced() const { return life_.fenced(); }
  FenceReason fence() const { return life_.fence(); }
  uint64_t serial() const { return serial_; }  // no two sessions of a process have the same
  // False once its memory is being unmapped.
  const std::shared_ptr<std::atomic<bool>>& mapped() const { return mapped_; }
  // A page of its memory is gone. What it computed since is worth nothing.
  bool memory_lost() const { return memory_.region.lost() || memory_.private_file.lost(); }
  // An engine has met a missing page.
  void LoseMemory() { memory_.region.CountLost(); }

  // ---- its life, for the dispatcher that has it ----
  const SessionLife& life() const { return life_; }
  // Has a request of it begun that has not ended?
  bool busy() const;
  // Is nothing of it with the backend? A request may be between two of its pieces.
  bool at_rest() const;
  // Is a ring of it asked for another epoch, which is not answered yet?
  bool epoch_pending() const;
  // That dispatcher has it from now on.
  void BeServedBy(SessionServer* server);
  // Its kicks are not heard and nothing of it begins until another dispatcher has it. What runs comes back.
  void Suspend() { life_.GoTo(SessionState::kSuspended); }
  void Leave() { life_.GoTo(SessionState::kLeaving); }
  void Left();
  void End() { life_.GoTo(SessionState::kEnding); }
  void Ended() { life_.GoTo(SessionState::kEnded); }
  FenceChange Fence(FenceReason reason);
  // False: it stays fenced.
  bool BeginReset();
  void EndReset() { life_.EndReset(); }

  // How many requests it has given in the iteration of this number.
  uint32_t TakenIn(uint32_t iteration) const {
    return iteration == iteration_ || VGPU_MUTANT("budget_not_reset") ? taken_in_iteration_ : 0;
  }
  void CountTaken(uint32_t iteration, uint32_t count) {
    taken_in_iteration_ = TakenIn(iteration) + count;
    iteration_ = iteration;
  }

  // Which rings have work of which kind: a bit a ring. Kept by the dispatcher.
  struct Work : Flow {
    Session* session = nullptr;
    uint32_t rings = 0;  // bits
    uint32_t last = 0;   // the ring that had the last turn

    // The ring whose turn it is. Needs rings != 0.
    GuestRing* NextRing();
  };
  Work inline_work;
  Work worker_work;       // pieces for the CPU's workers
  Work slot_work;         // small requests for its GPU; none while the CPU serves it
  Work gpu_work;          // pieces for its GPU; likewise
  Work maintenance_work;  // maintenance: nobody's turn in a scheduler
  // Has it a place in a run queue?
  bool queued() const {
    return inline_work.queued || worker_work.queued || slot_work.queued || gpu_work.queued;
  }

  // Where its requests run.
  const Placement& placement() const { return placement_; }
  // The same for Placements (placements.h), which alone can change it.
  Placement* mutable_placement() { return &placement_; }

  // Nanoseconds.
  base::PublishedHistogram queue_wait;   // taken -> started
  base::PublishedHistogram service;      // started -> answered
  base::Published<uint64_t> gpu_pieces;  // requests and pieces of requests that went to a GPU
  base::Published<uint64_t> fences;
  base::Published<uint64_t> resets;

 private:
  bool MemoryLost() const override { return memory_lost(); }
  bool SignalOwner(int fd) override;
  void DrainKick(int fd) override;
  void RingKicked(GuestRing* ring) override { server_->RingKicked(ring); }
  void AddRing(const RingLimits& limits, char* base, uint32_t entries, vgpu_journal* journal,
               RingEventfds eventfds);
  template <class Call>
  void Timed(const Call& call);

  SessionServer* server_ = nullptr;  // that has it, or had it last
  const Identity identity_;
  SessionMemory memory_;
  vgpu_device_info device_info_;
  Placement placement_;
  std::vector<std::unique_ptr<GuestRing>> rings_;
  const uint64_t serial_;
  const std::shared_ptr<std::atomic<bool>> mapped_ = std::make_shared<std::atomic<bool>>(true);
  SessionLife life_;
  SlowCalls slow_calls_;
  uint32_t iteration_ = 0;  // the last one in which it gave requests
  uint32_t taken_in_iteration_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_SESSION_H_
