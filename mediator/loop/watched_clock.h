// SPDX-License-Identifier: Apache-2.0
// Time during which the loop was running. Used by one thread. While the service is frozen (a cgroup's
// freezer, a suspended host, a snapshot) it stands still: what was in flight meanwhile is nobody's fault.
#ifndef VGPU_MEDIATOR_LOOP_WATCHED_CLOCK_H_
#define VGPU_MEDIATOR_LOOP_WATCHED_CLOCK_H_

#include <algorithm>
#include <cstdint>

#include "mediator/loop/clock.h"

namespace vgpu::mediator {

class WatchedClock {
 public:
  explicit WatchedClock(const Clock* clock) : clock_(clock), last_ns_(clock->Now()) {}

  // Call it again and again while anything is in flight: of the time since the last call no more than
  // kStepMaxNs counts.
  int64_t Now() {
    const int64_t now_ns = clock_->Now();
    watched_ns_ += std::clamp<int64_t>(now_ns - last_ns_, 0, kStepMaxNs);
    last_ns_ = now_ns;
    return watched_ns_;
  }

  static constexpr int64_t kStepMaxNs = 50'000'000;

 private:
  const Clock* const clock_;
  int64_t last_ns_;
  int64_t watched_ns_ = kStepMaxNs;  // 0 is no time
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_WATCHED_CLOCK_H_
