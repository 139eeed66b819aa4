// SPDX-License-Identifier: Apache-2.0
// How a piece of a request travels to a GPU. It is decided once for each piece, before there is a piece:
// whether there is room, how long the piece may be, and what the engine is told of it all follow from that.
#ifndef VGPU_MEDIATOR_LANE_PLAN_H_
#define VGPU_MEDIATOR_LANE_PLAN_H_

#include <array>
#include <cstdint>

#include "mediator/requests/request.h"
#include "mediator/sched/policy.h"
#include "mediator/sched/scheduler.h"

namespace vgpu::mediator {

enum class PieceWay : uint8_t {
  kDirect,     // the GPU uses the operands where they lie
  kCopied,     // through the GPU's copy engines and its own memory
  kThrottled,  // as kDirect, but most of the bus is left to others
};

struct Plan {
  PieceWay way = PieceWay::kDirect;
  uint32_t job_flags = 0;  // engine::JobFlags, for the engine
  uint64_t elements = 0;   // of the piece, at most: 100 us of work
};

// The GPU has code for the operation. Operands of `copy_from_bytes` and more are copied.
Plan PlanOnGpu(const Request& request, bool throttled, uint64_t copy_from_bytes);

// Whose pieces leave the bus of a GPU to others: vectors at full speed would triple the p99 of a higher
// class's adds (docs/adr/0011-which-work-runs-where.md). Times are those of the dispatcher's clock, ns; 0 is
// no time.
class Throttle {
 public:
  void AddCame(uint32_t priority, int64_t now_ns) { last_add_ns_[priority] = now_ns; }
  // Has a class above this one had an add a moment ago?
  bool Throttles(uint32_t priority, int64_t now_ns) const {
    for (uint32_t above = priority + 1; above < kPriorities; ++above) {
      const int64_t last_ns = last_add_ns_[above];
      if (last_ns != 0 && now_ns - last_ns < policy::kThrottledNs) return true;
    }
    return false;
  }

 private:
  std::array<int64_t, kPriorities> last_add_ns_{};  // by class
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_PLAN_H_
