// SPDX-License-Identifier: Apache-2.0
// The seam between the mediator and what computes: bounded work goes in as pieces, finished pieces come out.
#ifndef VGPU_MEDIATOR_BACKEND_H_
#define VGPU_MEDIATOR_BACKEND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "mediator/request.h"
#include "ring/abi.h"

namespace vgpu::mediator {

class GuestRing;

// Elements [begin, end) of one request. The request and its operands stay where they are until the piece is reaped.
struct Piece {
  GuestRing* ring;
  Request* request;
  uint64_t begin;
  uint64_t end;
};

// Called by the loop's thread only; never blocks it.
class Backend {
 public:
  virtual ~Backend() = default;
  // Is there room for one more piece? The bound keeps the scheduler in charge of what runs next.
  virtual bool HasRoom() const = 0;
  // Needs HasRoom().
  virtual void Submit(const Piece& piece) = 0;
  // Appends the finished pieces to *finished.
  virtual void Reap(std::vector<Piece>* finished) = 0;
  // An eventfd that becomes readable when a piece is finished.
  virtual int finished_fd() const = 0;
  // Fills backend, memory_bytes, name and driver.
  virtual void Describe(vgpu_device_info* info) const = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKEND_H_
