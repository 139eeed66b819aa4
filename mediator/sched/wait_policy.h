// SPDX-License-Identifier: Apache-2.0
// How long the idle loop spins before it sleeps. Pure: the caller brings the clock.
//
// Spinning pays if work comes soon. The limit of a spin is twice what a sleep and a wake-up cost, at least 30
// us and at most 200 us. If most of the last idle times (about eight) were shorter than the limit, the loop
// spins up to it; otherwise it sleeps at once. Spins that found nothing are paid from a budget of a tenth of
// the time (and 5 ms at once), so that a guest with an unlucky rhythm does not keep a processor busy.
#ifndef VGPU_MEDIATOR_SCHED_WAIT_POLICY_H_
#define VGPU_MEDIATOR_SCHED_WAIT_POLICY_H_

#include <algorithm>
#include <cstdint>

namespace vgpu::mediator {

enum class WaitMode : uint8_t { kAdaptive, kSleep, kSpin };

class WaitPolicy {
 public:
  // `wake_cost_ns`: what a sleep and a wake-up cost on this machine (wake_cost.h).
  WaitPolicy(WaitMode mode, int64_t wake_cost_ns)
      : mode_(mode), limit_ns_(std::clamp<int64_t>(2 * wake_cost_ns, kLimitMinNs, kLimitMaxNs)) {}

  int64_t limit_ns() const { return limit_ns_; }

  // The loop ran out of work at `now_ns`. Returns until when it is to spin: `now_ns` itself to sleep at once,
  // INT64_MAX never to sleep.
  int64_t SpinUntil(int64_t now_ns) {
    idle_since_ns_ = spin_until_ns_ = now_ns;
    if (mode_ == WaitMode::kSpin) return INT64_MAX;
    if (mode_ == WaitMode::kSleep || short_share_ < kHalf) return now_ns;
    budget_ns_ = std::min<int64_t>(kBudgetMaxNs, budget_ns_ + (now_ns - refilled_ns_) / kBudgetShare);
    refilled_ns_ = now_ns;
    if (budget_ns_ >= limit_ns_) spin_until_ns_ += limit_ns_;
    return spin_until_ns_;
  }

  // The idle time that SpinUntil began has ended at `now_ns`: work came. If that is after the spin's end, the
  // spin found nothing.
  void WorkCame(int64_t now_ns) {
    const bool was_short = now_ns - idle_since_ns_ <= limit_ns_;
    short_share_ += ((was_short ? kOne : 0) - short_share_) / 8;
    if (now_ns > spin_until_ns_) budget_ns_ -= spin_until_ns_ - idle_since_ns_;
  }

 private:
  static constexpr int64_t kLimitMinNs = 30'000;
  static constexpr int64_t kLimitMaxNs = 200'000;
  static constexpr int64_t kBudgetMaxNs = 5'000'000;
  static constexpr int64_t kBudgetShare = 10;  // spins in vain take at most a tenth of the time
  static constexpr int32_t kOne = 1 << 16;
  static constexpr int32_t kHalf = kOne / 2;

  const WaitMode mode_;
  const int64_t limit_ns_;
  int64_t idle_since_ns_ = 0;
  int64_t spin_until_ns_ = 0;
  int64_t refilled_ns_ = 0;
  int64_t budget_ns_ = kBudgetMaxNs;
  int32_t short_share_ = kOne;  // of the last idle times, how many were short: 0 none, kOne all
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_SCHED_WAIT_POLICY_H_
