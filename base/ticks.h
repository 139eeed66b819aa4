// SPDX-License-Identifier: Apache-2.0
// A cheap clock for measuring short times, also where reading the system's clock is slow: a virtual machine
// under emulation may leave the guest for it, at a microsecond a time. There the CPU's time-stamp counter is
// read instead.
#ifndef VGPU_BASE_TICKS_H_
#define VGPU_BASE_TICKS_H_

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace vgpu::base {

// Any thread may read it; differences of ticks read on different cores are as good as the machine's counters.
class Ticks {
 public:
  // Measures which clock to use. Takes about 10 ms only if the system's clock is slow.
  Ticks() {
#if defined(__x86_64__) || defined(__i386__)
    if (SystemClockNs() > kSlowNs) Calibrate();
#endif
  }

  uint64_t Now() const {
#if defined(__x86_64__) || defined(__i386__)
    if (counter_) return __builtin_ia32_rdtsc();
#endif
    return static_cast<uint64_t>(Clock::now().time_since_epoch().count());
  }

  // The nanoseconds of a difference of two Now(); a difference that went backwards counts as 0.
  uint64_t Ns(uint64_t ticks) const {
    if (static_cast<int64_t>(ticks) < 0) return 0;
    return counter_ ? static_cast<uint64_t>(static_cast<double>(ticks) * ns_per_tick_) : ticks;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static_assert(Clock::period::den == 1'000'000'000, "steady_clock counts nanoseconds");
  static constexpr int64_t kSlowNs = 50;  // 20 to 30 on bare metal; some 100 where the TSC is emulated

  // What one reading of the system's clock costs, at best.
  static int64_t SystemClockNs() {
    auto best = Clock::duration::max();
    for (int i = 0; i < 64; ++i) {
      const auto begin = Clock::now();
      best = std::min(best, Clock::now() - begin);
    }
    return best.count();
  }

#if defined(__x86_64__) || defined(__i386__)
  void Calibrate() {
    const auto begin = Clock::now();
    const uint64_t first = __builtin_ia32_rdtsc();
    auto now = begin;
    while (now - begin < std::chrono::milliseconds(10)) now = Clock::now();
    const uint64_t ticks = __builtin_ia32_rdtsc() - first;
    if (static_cast<int64_t>(ticks) <= 0) return;  // no usable counter
    ns_per_tick_ = static_cast<double>((now - begin).count()) / static_cast<double>(ticks);
    counter_ = true;
  }
#endif

  bool counter_ = false;
  double ns_per_tick_ = 1;
};

}  // namespace vgpu::base

#endif  // VGPU_BASE_TICKS_H_
