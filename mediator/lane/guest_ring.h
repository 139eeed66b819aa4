// SPDX-License-Identifier: Apache-2.0
// One ring of one VM as the mediator has it: its server, its descriptors, and where it stands in the
// dispatcher's lists.
#ifndef VGPU_MEDIATOR_LANE_GUEST_RING_H_
#define VGPU_MEDIATOR_LANE_GUEST_RING_H_

#include <cstdint>
#include <span>

#include "base/published.h"
#include "mediator/lane/compute.h"
#include "mediator/lane/ring_service.h"
#include "mediator/loop/event_loop.h"
#include "mediator/loop/peer_fd.h"
#include "serve/ring_host.h"
#include "serve/ring_server.h"

namespace vgpu::mediator {

class GuestRing;
class Session;

// What a ring needs from the session that it belongs to. Called by the thread that has the session.
class RingSession {
 public:
  // Are pages of the VM's memory gone?
  virtual bool MemoryLost() const = 0;
  // Signals a descriptor of the owner's. False: not now; whoever has the session next calls each guest.
  virtual bool SignalOwner(int fd) = 0;
  virtual void DrainKick(int fd) = 0;
  virtual void RingKicked(GuestRing* ring) = 0;

 protected:
  ~RingSession() = default;
};

// Served by one thread at a time: whoever has its session (lane.h). Allocates in its constructor only.
class GuestRing final : public ReadyHandler, private serve::RingHost, public serve::RingServer<RingService> {
 public:
  // The mappings and histograms behind `place` outlive it.
  GuestRing(Session* session, RingSession* host, uint32_t index, const serve::RingPlace& place,
            RingService service, PeerFd kick, PeerFd call);

  Session* session() const { return session_; }
  uint32_t index() const { return index_; }
  bool window() const { return one_epoch(); }
  int kick_fd() const { return kick_.get(); }
  int call_fd() const { return call_.get(); }
  // Where the ring's arena is mapped here, among others. Any thread.
  const RingLimits& limits() const { return service().limits(); }

  // Goes on with what is in progress, for `slots` slots. True: it is done.
  bool Advance(uint32_t slots);
  // Is a GPU's work among the last `taken` requests that Take has taken?
  bool TookForGpu(uint32_t taken) const;
  // Gives requests from the head on whose way is kSlot to the session's GPU; at most `max`, which it has room
  // for. Returns how many.
  uint32_t SubmitSlots(uint32_t max, Gpus* gpus, const serve::Iteration& iteration);
  // Answers the requests at the front of `pieces` that are this ring's and went
  // by SubmitSlots. Returns how many.
  size_t SlotsFinished(std::span<const Piece> pieces, const serve::Iteration& iteration);
  // The next piece of the head, of at most `length` elements. False: that was its last one.
  bool CutPiece(uint64_t length, const serve::Iteration& iteration, Piece* piece);
  // It came back. True: its request has ended.
  bool PieceCameBack(const Piece& piece, const serve::Iteration& iteration);

  void OnReady() override;

  // ---- marks of the dispatcher's lists ----
  base::Published<bool> polled = false;  // checked in each iteration; otherwise armed, or not open
  bool needs_maintenance = false;        // in the list of those with maintenance
  size_t polled_index = 0;               // its place in the list of polled rings
  int watch = -1;                        // of its kick; -1: not listened to
  int64_t muted_until_ns = 0;            // its kicks came without requests: not listened to until then
  uint32_t ran_inline = 0;               // in this iteration
  bool has_answers = false;              // its guest has not been called for them yet
  bool worked = false;                   // of late
  uint32_t idle_kicks = 0;               // kicks in a row that brought nothing

 private:
  bool MemoryLost() const override { return host_->MemoryLost(); }
  bool CallGuest() override { return host_->SignalOwner(call_.get()); }

  Session* const session_;
  RingSession* const host_;  // the same one
  const uint32_t index_;
  const PeerFd kick_;
  const PeerFd call_;
  uint64_t taken_at_kick_ = 0;  // of counters(), at the last kick
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_GUEST_RING_H_
