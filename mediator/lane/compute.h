// SPDX-License-Identifier: Apache-2.0
// The seam between the dispatcher and what computes: bounded work goes in as pieces, finished pieces come
// out. Who computes does not choose among VMs: it says whether it has room, and the dispatcher decides whose
// piece is next.
#ifndef VGPU_MEDIATOR_LANE_COMPUTE_H_
#define VGPU_MEDIATOR_LANE_COMPUTE_H_

#include <cstdint>
#include <vector>

#include "mediator/lane/plan.h"
#include "mediator/requests/request.h"

namespace vgpu::mediator {

class GuestRing;

// Elements [begin, end) of one request. The request and its operands stay where they are until the piece is
// taken back.
struct Piece {
  GuestRing* ring;
  Request* request;
  uint64_t begin;
  uint64_t end;
  bool faulted = false;  // finished: it took long, and pages of its memory were missed
  uint64_t gpu_ns = 0;   // finished: when a GPU had done it, by that GPU's clock; 0: not there, or not known
};

// The CPU's workers. Called by the lane's thread only. Nothing here blocks it.
class Workers {
 public:
  virtual ~Workers() = default;

  // How many elements a piece of this request has, at most: about 50 us of work.
  virtual uint64_t PieceLength(const Request& request) const = 0;
  // Is there room for another piece? The bound keeps the scheduler in charge of what runs next.
  virtual bool HasRoom() const = 0;
  // Needs HasRoom().
  virtual void Submit(const Piece& piece) = 0;
  // Appends the finished pieces to *finished.
  virtual void Reap(std::vector<Piece>* finished) = 0;
  // An eventfd that becomes readable when a piece is finished.
  virtual int finished_fd() const = 0;
};

// The GPUs of a lane. Called by the lane's thread only. Nothing here blocks it. What names a ring is for
// rings whose session is on a GPU (placement.h), and means that GPU.
class Gpus {
 public:
  virtual ~Gpus() = default;

  // How many there are. It never changes. Placement::gpu() counts from 0.
  virtual uint32_t count() const = 0;

  // ---- pieces ----

  // How the next piece of this request travels. The GPU has code for its operation. Holds for this moment.
  virtual Plan PlanPiece(const GuestRing& ring, const Request& request, int64_t now_ns) const = 0;
  // Is there room for such a piece of this ring? The bound keeps the scheduler in charge of what runs next.
  virtual bool HasRoom(const GuestRing& ring, const Plan& plan) const = 0;
  // A piece that was planned so. Needs HasRoom().
  virtual void Submit(const Piece& piece, const Plan& plan) = 0;

  // ---- small requests: they touch nothing but their slots ----

  // For how many of this ring is there room?
  virtual uint32_t SlotRoom(const GuestRing& ring) = 0;
  // One of them. It comes back as a piece of no elements. Needs SlotRoom() != 0.
  virtual void SubmitSlot(GuestRing* ring, Request* request, int64_t now_ns) = 0;

  // ---- all of them ----

  // What was submitted begins now at the latest.
  virtual void Flush() = 0;
  // Is there something whose end nobody signals? Then Poll, and do not sleep.
  virtual bool polls() const = 0;
  // Appends to *finished what has finished. It may tell the listener of the memory holder
  // that an engine is lost.
  virtual void Poll(std::vector<Piece>* finished) = 0;
  // The workers may have room again. What a failed engine had and is repeated on the CPU goes to them now,
  // before any new piece. Call it after each Workers::Reap: while something still waits afterwards, the
  // workers have no room, so another finished piece will be signalled.
  virtual void WorkersHaveRoom() = 0;
  // The lane goes to sleep, or has been busy for long: do not keep what only a busy lane needs.
  virtual void Rest() = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_COMPUTE_H_
