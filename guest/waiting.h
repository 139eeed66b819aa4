// SPDX-License-Identifier: Apache-2.0
// How to pass the time until an answer comes: whether to spin or to sleep, and how to poll where sleeping
// until a call is impossible. These classes only decide, on times that the caller gives; only
// PolledWait::Step waits.
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

// Whether to spin before sleeping, and for how long. Spinning pays while the answer is likely to come sooner
// than a sleep and a wake-up cost. So the policy learns that cost, and how many of the last answers came
// within twice of it. If most did, it spins that long, else it sleeps at once. Spins in vain are paid from a
// budget of a tenth of the time, so that answers with an unlucky rhythm cannot burn a core.
class SpinPolicy {
 public:
  static constexpr int64_t kWakeInitialNs = 20'000;
  static constexpr int64_t kWakeMinNs = 10'000;
  static constexpr int64_t kWakeMaxNs = 100'000;
  // A shorter sleep was no sleep: the call was there already.
  static constexpr int64_t kSleepMinNs = 3'000;
  static constexpr int64_t kBudgetMaxNs = 1'000'000;

  // How long the wait that begins at `now_ns` may spin; 0: sleep at once.
  int64_t SpinNs(int64_t now_ns) {
    budget_ns_ = std::min(kBudgetMaxNs, budget_ns_ + (now_ns - refilled_ns_) / 10);
    refilled_ns_ = now_ns;
    return short_share_ < kOne / 2 || budget_ns_ < limit_ns() ? 0 : limit_ns();
  }

  // The answer came `took_ns` after the wait began, without a sleep.
  void AnsweredSpinning(int64_t took_ns) { Learn(took_ns); }

  // The answer came after `spun_ns` of spinning in vain and `slept_ns` of sleeping, the wake included.
  void AnsweredSleeping(int64_t spun_ns, int64_t slept_ns) {
    budget_ns_ -= spun_ns;
    if (slept_ns >= kSleepMinNs) {
      // Follows the lower quartile of sleeps: a sleep whose answer came at once lasts as long as a sleep and
      // a wake-up cost.
      const int64_t step = wake_ns_ / 32;
      wake_ns_ = std::clamp(wake_ns_ + (slept_ns < wake_ns_ ? -3 * step : step), kWakeMinNs, kWakeMaxNs);
    }
    Learn(spun_ns + std::max<int64_t>(0, slept_ns - wake_ns_));
  }

  int64_t wake_ns() const { return wake_ns_; }
  int64_t limit_ns() const { return 2 * wake_ns_; }

 private:
  static constexpr int32_t kOne = 1 << 16;

  void Learn(int64_t took_ns) { short_share_ += ((took_ns <= limit_ns() ? kOne : 0) - short_share_) / 8; }

  int64_t wake_ns_ = kWakeInitialNs;
  int64_t budget_ns_ = kBudgetMaxNs;
  int64_t refilled_ns_ = 0;
  int32_t short_share_ = kOne;  // of late, how many answers came within the limit: 0 none, kOne all
};

// Polling without calls: spins for 50 us, then yields until 100 us, then sleeps an eighth of the time gone
// by, at least 20 us and at most 1 ms. An answer is seen at most an eighth late, and a long wait costs next
// to no CPU.
class PolledWait {
 public:
  explicit PolledWait(TimePoint begin) : begin_(begin) {}

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
