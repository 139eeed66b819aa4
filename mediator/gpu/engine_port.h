// SPDX-License-Identifier: Apache-2.0
// The mediator's hands in an engine's area: pieces go in, finished ones come out. Nothing is allocated,
// nobody is waited for.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_PORT_H_
#define VGPU_MEDIATOR_GPU_ENGINE_PORT_H_

#include <array>
#include <cstdint>
#include <vector>

#include "engine/engine_abi.h"
#include "mediator/lane/compute.h"
#include "mediator/loop/watched_clock.h"
#include "mediator/sched/policy.h"
#include "ring/producer.h"

namespace vgpu::mediator {

class Session;

// Loop's thread only.
class EnginePort {
 public:
  // The area's engine is ready. All outlive this.
  EnginePort(engine::Area* area, int kick_fd, WatchedClock* clock);

  // ---- adds: each touches nothing but its guest's slot ----

  // How many there is room for.
  uint32_t AddRoom();
  // Needs AddRoom() != 0, which has chosen the way.
  void SubmitAdd(GuestRing* ring, Request* request);

  // ---- all else ----

  // Bounded, so that the scheduler decides what the GPU does next.
  bool HasJobRoom(bool throttled) const {
    return !jobs_.full() && job_bytes_ < (throttled ? policy::kThrottledBytesMax : policy::kGpuBytesMax);
  }
  // `bytes` of one operand.
  void SubmitJob(const Piece& piece, uint64_t bytes, uint32_t flags);

  // Makes what was submitted visible to the engine; wakes it if it sleeps.
  void Flush();

  uint32_t in_flight() const { return adds_in_flight() + jobs_.outstanding(); }
  // Appends what has finished. Looks at the adds' words in order, at all jobs'.
  void Poll(std::vector<Piece>* finished);
  // The loop goes to sleep, or has been busy for long. It keeps what something in flight needs.
  void Rest() { StopUsingResident(); }
  // Since when something waits for its answer: the oldest job, or the last sign of the resident kernel.
  // INT64_MAX: nothing. `now_ns`, of this port's clock (two clocks drift apart), becomes the start of a wait
  // that begins now.
  int64_t WaitingSince(int64_t now_ns);
  // Everything in flight, when the engine is gone.
  void TakeAll(std::vector<Piece>* pieces);

 private:
  // Two words, and not a Piece: a Piece's copy reads more at once than was written at once, and waits for
  // that to leave the store buffer, with all that is before it there: 15 ns of 80.
  struct Add {
    GuestRing* ring;
    Request* request;
  };
  struct Job {
    Piece piece;
    uint64_t bytes;
    int64_t since_ns;
  };

  uint32_t adds_in_flight() const { return static_cast<uint32_t>(added_ - answered_); }
  bool UseResident();
  void StopUsingResident();
  void NoteLost(Session* session) const;
  void GiveToResident(GuestRing* ring, Request* request);
  void Stage(const Piece& piece, uint32_t kind, uint32_t flags,
             const std::array<uint64_t, engine::kJobArgs>& args, uint64_t bytes);

  engine::Area* const area_;
  const int kick_fd_;
  WatchedClock* const clock_;

  // The resident ring: requests counted since the kernel came; an entry each, in turn.
  bool using_resident_ = false;  // resident_users is set
  bool adds_go_there_ = false;
  uint32_t generation_ = 0;
  uint64_t added_ = 0;
  uint64_t answered_ = 0;
  uint64_t asked_total_ = 0;
  uint64_t asked_told_ = 0;
  int64_t resident_since_ns_ = 0;  // 0: not known yet
  std::array<Add, VGPU_RESIDENT_ENTRIES> adds_{};

  ring::Producer<ring::RealMemory> jobs_;
  std::array<Job, engine::kJobEntries> job_table_{};
  uint64_t job_bytes_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_PORT_H_
