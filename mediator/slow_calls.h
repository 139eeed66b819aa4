// SPDX-License-Identifier: Apache-2.0
// Does a system call on a VM's descriptor take so long that others have to wait? It walks the list of all who wait for the same
// descriptor: its owner can make that long. A look at the clock is cheap, but says little: others may have had the processor
// meanwhile. What this thread has computed for it is its fault alone. Pure: the caller brings the clocks.
#ifndef VGPU_MEDIATOR_SLOW_CALLS_H_
#define VGPU_MEDIATOR_SLOW_CALLS_H_

#include <algorithm>
#include <cstdint>

namespace vgpu::mediator {

// A moment by both clocks of a thread: the wall's, and what it has computed. With it, how much it has computed since a later
// moment is known without having looked at that moment: not less than all since the sample, if it has computed all the time
// in between.
class ComputedSample {
 public:
  // `wall_ns` is read first: a thread that loses its processor in between is thought to have computed less, not more.
  void Take(int64_t wall_ns, int64_t computed_ns) {
    wall_ns_ = wall_ns;
    computed_ns_ = computed_ns;
  }
  // It has slept in between, so long by the wall clock: that was not computed, except for the way there and back.
  void Slept(int64_t wall_ns) { wall_ns_ += std::max<int64_t>(0, wall_ns - kThereAndBackNs); }
  bool old(int64_t wall_ns) const { return wall_ns - wall_ns_ > kAgeNs; }

  // Since `begin_ns` by the wall clock, at least. 0: it may have been nothing.
  int64_t AtLeast(int64_t begin_ns, int64_t computed_ns) const {
    const int64_t before_ns = begin_ns - wall_ns_;
    return std::max<int64_t>(0, computed_ns - computed_ns_ - before_ns - before_ns / kClocksDiffer);
  }

 private:
  static constexpr int64_t kAgeNs = 1'000'000;
  static constexpr int64_t kThereAndBackNs = 20'000;  // of a sleep, at most: counts as computed
  static constexpr int64_t kClocksDiffer = 500;  // two clocks' rates, by 1 / this

  int64_t wall_ns_ = 0;
  int64_t computed_ns_ = 0;
};

// Of one VM. Slow calls add up, others make up for them: a single one may be the machine's doing, since what the kernel does
// besides, and a host that stands still, count as this thread's work, too.
class SlowCalls {
 public:
  // By the wall clock. A call, or the reading of a kick, takes about a microsecond.
  static constexpr int64_t kSlowByTheClockNs = 50'000;

  // Is the next call to be timed exactly?
  bool exact() const { return exact_calls_ != 0; }
  // One that was not was slow by the clock, and has computed at least so long. True: it is too slow. Else it, or another one, may
  // have been; the next ones show.
  bool Noticed(int64_t at_least_ns) {
    exact_calls_ = kExactCalls;
    slow_ns_ = at_least_ns > kSlowNs ? at_least_ns : 0;
    return slow_ns_ > kSlowNsMax;
  }
  // One that was timed exactly. True: they are too slow.
  bool Timed(int64_t computed_ns) {
    --exact_calls_;
    slow_ns_ = computed_ns > kSlowNs ? slow_ns_ + computed_ns : std::max<int64_t>(0, slow_ns_ - kSlowNs);
    return slow_ns_ > kSlowNsMax;
  }

 private:
  static constexpr int64_t kSlowNs = 100'000;
  static constexpr int64_t kSlowNsMax = 5'000'000;  // of slow calls together; each other one in between makes up for kSlowNs
  static constexpr uint32_t kExactCalls = 16;

  uint32_t exact_calls_ = 0;
  int64_t slow_ns_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_SLOW_CALLS_H_
