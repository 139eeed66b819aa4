// SPDX-License-Identifier: Apache-2.0
// What the mediator's rings can be asked for, as the server of a ring wants it (serve/ring_server.h).
#ifndef VGPU_MEDIATOR_LANE_RING_SERVICE_H_
#define VGPU_MEDIATOR_LANE_RING_SERVICE_H_

#include "mediator/lane/placement.h"
#include "mediator/requests/operations.h"
#include "mediator/requests/request.h"
#include "ring/ring_ref.h"
#include "serve/request.h"

namespace vgpu::mediator {

// One ring's.
class RingService {
 public:
  using Request = mediator::Request;
  using Simple = const Operation*;

  // `placement`: where the VM's requests run now. It outlives this.
  RingService(const RingLimits& limits, const Placement* placement)
      : limits_(limits), placement_(placement) {}

  Simple FindSimple(uint64_t submit) const { return FindInSlot(submit); }
  static bool HasArgument(Simple op) { return op->has_operands; }
  static uint32_t AnswerSimple(Simple op, uint64_t arg) { return op->in_slot(arg); }
  void Decode(const ring::SlotCopy& copy, Request* request) const {
    mediator::Decode(copy, limits_, request);
  }
  serve::Way WayOf(const Request& request) const {
    using serve::Way;
    if (request.refused) return Way::kInline;
    if (request.op->gpu_job != kNotOnGpu && placement_->on_device())
      return request.in_slot ? Way::kSlot : Way::kPieces;
    return request.inline_run ? Way::kInline : Way::kPieces;
  }
  void Run(Request* request) const {
    mediator::Run(request, limits_, 0, request->in_slot ? 0 : request->count);
  }
  static uint32_t Cost(const Request& request) { return InlineCost(request); }
  const RingLimits& limits() const { return limits_; }

 private:
  const RingLimits limits_;
  const Placement* const placement_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_RING_SERVICE_H_
