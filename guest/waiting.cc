// SPDX-License-Identifier: Apache-2.0
#include "guest/waiting.h"

#include <sched.h>
#include <time.h>

namespace vgpu::guest {

uint64_t MeasureRelaxNs() {
  constexpr int kRounds = 5;
  constexpr int kPauses = 32;
  uint64_t best = UINT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    const TimePoint begin = Clock::now();
    for (int i = 0; i < kPauses; ++i) CpuRelax();
    best = std::min(best, static_cast<uint64_t>((Clock::now() - begin).count()));
  }
  return best / kPauses;
}

void PolledWait::Step(TimePoint deadline) const {
  const TimePoint now = Clock::now();
  const auto nap = std::min<std::chrono::nanoseconds>(Nap(now), deadline - now);
  if (nap.count() > 0) {
    const timespec time = {static_cast<time_t>(nap.count() / 1'000'000'000), nap.count() % 1'000'000'000};
    nanosleep(&time, nullptr);
  } else if (now - begin_ < kSpinFor) {
    CpuRelax();
  } else {
    sched_yield();
  }
}

}  // namespace vgpu::guest
