// SPDX-License-Identifier: Apache-2.0
// Time on the request path. Reading it must cost a few nanoseconds, so it is the CPU's time-stamp counter
// where that is constant, scaled once at start; CLOCK_MONOTONIC elsewhere. Accurate to about 0.1 %: for
// waiting and statistics. A simulation has a clock of another kind: its hands are moved by hand.
#ifndef VGPU_MEDIATOR_LOOP_CLOCK_H_
#define VGPU_MEDIATOR_LOOP_CLOCK_H_

#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace vgpu::mediator {

inline int64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Where the hands of a clock stand that no hardware moves. Its owner moves them, and does not turn them back.
struct ClockHands {
  int64_t now_ns = 0;
  int64_t computed_ns = 0;  // of the one thread that there is
};

// Immutable after construction, which takes about 5 ms.
class Clock {
 public:
  // Shows what the hands say; they outlive it, and are moved by the thread that reads it. The time of the
  // machine is read as fast as without this: it is another case of the one where
  // there is no constant counter.
  explicit Clock(const ClockHands* hands) : hands_(hands) {}
  Clock() : start_ns_(MonotonicNs()) {
#if defined(__x86_64__)
    uint32_t eax, ebx, ecx, edx;
    constexpr uint32_t kInvariantTsc = 1u << 8;
    if (__get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) == 0 || (edx & kInvariantTsc) == 0) return;
    start_ticks_ = __rdtsc();
    int64_t end_ns;
    uint64_t end_ticks;
    do {
      end_ns = MonotonicNs();
      end_ticks = __rdtsc();
    } while (end_ns - start_ns_ < 5'000'000);
    if (end_ticks > start_ticks_) {
      ns_per_tick_ = static_cast<double>(end_ns - start_ns_) / static_cast<double>(end_ticks - start_ticks_);
    }
#endif
  }

  int64_t Now() const {
#if defined(__x86_64__)
    if (ns_per_tick_ != 0) {
      return start_ns_ + static_cast<int64_t>(static_cast<double>(__rdtsc() - start_ticks_) * ns_per_tick_);
    }
#endif
    return hands_ != nullptr ? hands_->now_ns : MonotonicNs();
  }

  // What this thread has computed so far; that others had its processor meanwhile does
  // not count. A system call.
  int64_t ThreadNs() const {
    if (hands_ != nullptr) return hands_->computed_ns;
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }

 private:
  const ClockHands* hands_ = nullptr;
  int64_t start_ns_ = 0;
  uint64_t start_ticks_ = 0;
  double ns_per_tick_ = 0;  // 0: no constant counter
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_CLOCK_H_
