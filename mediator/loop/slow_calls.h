// SPDX-License-Identifier: Apache-2.0
// Does a system call on a VM's descriptor take so long that others have to wait? Such a call walks the list
// of all who wait for the same descriptor, and its owner can make that list long. Reading the wall clock is
// cheap, but says little: other threads may have had the processor meanwhile. Only the processor time of this
// thread is the VM's fault. Pure: the caller brings the clocks.
#ifndef VGPU_MEDIATOR_LOOP_SLOW_CALLS_H_
#define VGPU_MEDIATOR_LOOP_SLOW_CALLS_H_

#include <algorithm>
#include <cstdint>

namespace vgpu::mediator {

// One moment by two clocks: the wall clock, and the processor time of this thread. It gives a lower bound of
// the processor time since any later moment, although that clock was not read then: the time since this
// sample, less the wall time from the sample to that moment.
class ComputedSample {
 public:
  // Read `wall_ns` first. If the thread loses its processor in between, the bound becomes lower, not higher.
  void Take(int64_t wall_ns, int64_t computed_ns) {
    wall_ns_ = wall_ns;
    computed_ns_ = computed_ns;
  }
  // The thread has slept for `wall_ns` since the sample. It computed nothing then, except on the way into the
  // sleep and out of it.
  void Slept(int64_t wall_ns) { wall_ns_ += std::max<int64_t>(0, wall_ns - kThereAndBackNs); }
  bool old(int64_t wall_ns) const { return wall_ns - wall_ns_ > kAgeNs; }

  // Processor time since `begin_ns` of the wall clock, at least. 0: it may have been nothing.
  int64_t AtLeast(int64_t begin_ns, int64_t computed_ns) const {
    const int64_t before_ns = begin_ns - wall_ns_;
    return std::max<int64_t>(0, computed_ns - computed_ns_ - before_ns - before_ns / kClocksDiffer);
  }

 private:
  static constexpr int64_t kAgeNs = 1'000'000;
  static constexpr int64_t kThereAndBackNs = 20'000;  // of a sleep, at most: counts as computed
  static constexpr int64_t kClocksDiffer = 500;       // two clocks' rates, by 1 / this

  int64_t wall_ns_ = 0;
  int64_t computed_ns_ = 0;
};

// The calls of one VM. Slow ones add up, and others make up for them. A single slow one may be the machine's
// doing: other work of the kernel, and a host that stands still, count as this thread's time, too.
class SlowCalls {
 public:
  // A call this long by the wall clock is suspicious. One takes about a microsecond.
  static constexpr int64_t kSlowByTheClockNs = 50'000;

  // Is the next call to be timed by processor time?
  bool exact() const { return exact_calls_ != 0; }
  // A call was suspicious, and took at least so much processor time. True: the VM is too slow. Else the next
  // calls, timed exactly, will show.
  bool Noticed(int64_t at_least_ns) {
    exact_calls_ = kExactCalls;
    slow_ns_ = at_least_ns > kSlowNs ? at_least_ns : 0;
    return slow_ns_ > kSlowNsMax;
  }
  // A call was timed exactly. True: the VM is too slow.
  bool Timed(int64_t computed_ns) {
    --exact_calls_;
    slow_ns_ = computed_ns > kSlowNs ? slow_ns_ + computed_ns : std::max<int64_t>(0, slow_ns_ - kSlowNs);
    return slow_ns_ > kSlowNsMax;
  }

 private:
  static constexpr int64_t kSlowNs = 100'000;
  // Slow calls together; any other call makes up for kSlowNs.
  static constexpr int64_t kSlowNsMax = 5'000'000;
  static constexpr uint32_t kExactCalls = 16;

  uint32_t exact_calls_ = 0;
  int64_t slow_ns_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_SLOW_CALLS_H_
