// SPDX-License-Identifier: Apache-2.0
// How to pass the time until an answer comes: whether to spin or to sleep, and how to poll where sleeping
// until a call is impossible. Decisions only, on times that the caller gives; Doze alone really waits.
#ifndef VGPU_GUEST_WAITING_H_
#define VGPU_GUEST_WAITING_H_

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "guest/transport.h"

namespace vgpu::guest {

inline void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Nanoseconds that CpuRelax takes here. Some 10 to 50 on a CPU; hundreds where an emulator leaves its loop
// for it.
uint64_t MeasureRelaxNs();

// Spins for at most as long as a sleep and wake would cost, and only while answers tend to come sooner than
// that: at worst twice the CPU of always sleeping, and far less when many spins were in vain lately. Learns
// both times.
class SpinPolicy {
 public:
  static constexpr uint64_t kWakeInitialNs = 20'000;
  static constexpr uint64_t kWakeMinNs = 2'000;
  static constexpr uint64_t kWakeMaxNs = 50'000;
  static constexpr uint64_t kVainMaxNs = 200'000;  // spent in vain, less a tenth of the time gone by

  // How long the wait that begins at `now_ns` may spin; 0: sleep at once.
  uint64_t WindowNs(uint64_t now_ns) const {
    if (expected_ns_ > wake_ns_ || VainNs(now_ns) > kVainMaxNs) return 0;
    return std::min(2 * expected_ns_ + 2'000, wake_ns_);
  }

  // The answer came `took_ns` after the wait began, without a sleep.
  void AnsweredSpinning(uint64_t took_ns) { Learn(took_ns); }

  // The answer came in a sleep that took `slept_ns` in all; before it, `spun_ns` were spun in vain.
  void AnsweredSleeping(uint64_t spun_ns, uint64_t slept_ns, uint64_t now_ns) {
    // The shortest sleeps are those whose answer was there at once: they are what a sleep and wake costs.
    // Forgotten slowly, since that cost changes with the machine's load.
    if (slept_ns < wake_ns_) {
      wake_ns_ = std::max(slept_ns, kWakeMinNs);
    } else {
      wake_ns_ += (std::min(slept_ns, kWakeMaxNs) - std::min(wake_ns_, kWakeMaxNs)) / 64;
    }
    vain_ns_ = VainNs(now_ns) + spun_ns;
    vain_at_ns_ = now_ns;
    Learn(spun_ns + (slept_ns - std::min(slept_ns, wake_ns_)));
  }

  uint64_t wake_ns() const { return wake_ns_; }
  uint64_t expected_ns() const { return expected_ns_; }

 private:
  uint64_t VainNs(uint64_t now_ns) const {
    const uint64_t drained = (now_ns - vain_at_ns_) / 10;
    return vain_ns_ - std::min(vain_ns_, drained);
  }
  void Learn(uint64_t took_ns) {
    const auto sample = static_cast<int64_t>(std::min<uint64_t>(took_ns, 1'000'000'000));
    const auto old = static_cast<int64_t>(expected_ns_);
    expected_ns_ = static_cast<uint64_t>(old + (sample - old) / 8);
  }

  uint64_t expected_ns_ = 0;  // until an answer, moving average
  uint64_t wake_ns_ = kWakeInitialNs;
  uint64_t vain_ns_ = 0;
  uint64_t vain_at_ns_ = 0;
};

// Polling without calls: spins for 50 us, then yields until 100 us, then sleeps an eighth of the time gone
// by, at least 20 us and at most 1 ms. An answer is seen at most an eighth late, and a long wait costs next
// to no CPU.
class Doze {
 public:
  explicit Doze(TimePoint begin) : begin_(begin) {}

  // How long to sleep at `now`; zero: spin or yield.
  std::chrono::nanoseconds Nap(TimePoint now) const {
    using std::chrono::microseconds;
    const auto gone = now - begin_;
    if (gone < kYieldFor) return {};
    return std::clamp<std::chrono::nanoseconds>(gone / 8, microseconds(20), microseconds(1000));
  }

  // Passes a little time, never beyond the deadline.
  void Step(TimePoint deadline) const;

 private:
  static constexpr std::chrono::microseconds kSpinFor{50};
  static constexpr std::chrono::microseconds kYieldFor{100};

  TimePoint begin_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_WAITING_H_
