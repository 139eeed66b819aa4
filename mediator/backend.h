// SPDX-License-Identifier: Apache-2.0
// The seam between the mediator and what computes: bounded work goes in as pieces, finished pieces come out.
#ifndef VGPU_MEDIATOR_BACKEND_H_
#define VGPU_MEDIATOR_BACKEND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "mediator/plan.h"
#include "mediator/request.h"

namespace vgpu::mediator {

class GuestRing;
class Session;

// Elements [begin, end) of one request. The request and its operands stay where they are until the piece is reaped.
struct Piece {
  GuestRing* ring;
  Request* request;
  uint64_t begin;
  uint64_t end;
  bool faulted = false;  // finished: it took long, and pages of its memory were missed
  uint64_t gpu_ns = 0;  // finished: when a GPU had done it, by that GPU's clock; 0: not there, or not known
};

// What a backend tells the dispatcher. Called on the loop's thread, within EventLoop::Poll or Sleep, or Backend::Poll.
class BackendListener {
 public:
  virtual ~BackendListener() = default;
  // From now on the session's requests run on its GPU, or on the CPU. Its placement says so already.
  virtual void SetOnDevice(Session* session, bool on_device) = 0;
  // Release() of this session has more to say.
  virtual void SeatFree(Session* session) = 0;
};

// Called by the loop's thread only; never blocks it. The defaults are those of a backend without GPUs.
class Backend {
 public:
  virtual ~Backend() = default;

  // ---- pieces ----

  // How the next piece of this request travels. Holds for this moment.
  virtual Plan PlanPiece(const GuestRing& ring, const Request& request, int64_t now_ns) const = 0;
  // Is there room for such a piece of this ring? The bound keeps the scheduler in charge of what runs next.
  virtual bool HasRoom(const GuestRing& ring, const Plan& plan) const = 0;
  // A piece that was planned so. Needs HasRoom().
  virtual void Submit(const Piece& piece, const Plan& plan) = 0;
  // Appends the finished pieces to *finished.
  virtual void Reap(std::vector<Piece>* finished) = 0;
  // An eventfd that becomes readable when a piece is finished, unless polls() says otherwise.
  virtual int finished_fd() const = 0;

  // ---- GPUs ----

  virtual void SetListener(BackendListener*) {}
  // Schedulers are kept apart by GPU, since each has its own room. 0 is the CPU.
  virtual uint32_t gpus() const { return 0; }
  // For how many requests of this ring that touch nothing but their slots is there room? Only for sessions on a GPU.
  virtual uint32_t SlotRoom(const GuestRing&) { return 0; }
  // One of them. Comes back as a piece of no elements. Needs SlotRoom() != 0.
  virtual void SubmitSlot(GuestRing*, Request*, int64_t now_ns) { (void)now_ns; }
  // After Submits: they begin now at the latest.
  virtual void Flush() {}
  // Is something in flight whose end nobody signals? Then Poll, and do not sleep.
  virtual bool polls() const { return false; }
  virtual void Poll(std::vector<Piece>*) {}
  virtual void GoingToSleep() {}
  // A session whose placement is parked has had a request.
  virtual void Wake(Session*) {}
  // The session begins. Its memory stays until Release.
  virtual void Attach(Session*) {}
  // The session ends; nothing of it is in flight. False: its memory is still in use; SeatFree tells when to ask again.
  virtual bool Release(Session*) { return true; }

  // Fills backend, memory_bytes, name and driver, for a VM of this pool. Any thread.
  virtual void Describe(uint32_t pool, vgpu_device_info* info) const = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKEND_H_
