// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/wake_cost.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

// Binds `thread` to the processors of this one but the one that runs it now.
// With a single processor: does nothing.
void KeepAway(std::thread* thread) {
  cpu_set_t others;
  if (sched_getaffinity(0, sizeof others, &others) != 0) return;
  const int here = sched_getcpu();
  if (here >= 0) CPU_CLR(static_cast<size_t>(here), &others);
  if (CPU_COUNT(&others) != 0) pthread_setaffinity_np(thread->native_handle(), sizeof others, &others);
}

}  // namespace

base::Result<int64_t> MeasureWakeCostNs() {
  constexpr int kRounds = 33;
  const base::UniqueFd there(eventfd(0, EFD_CLOEXEC)), back(eventfd(0, EFD_CLOEXEC));
  if (!there || !back) return tl::make_unexpected(Refused("cannot create an eventfd", errno));
  auto echo = StartThread("measuring what a wake-up costs", [&] {
    uint64_t value;
    for (int i = 0; i < kRounds; ++i) {
      if (read(there.get(), &value, sizeof value) != sizeof value) return;
      SignalEventfd(back.get());
    }
  });
  if (!echo) return tl::make_unexpected(echo.error());
  KeepAway(&*echo);
  std::array<int64_t, kRounds> times{};
  for (int64_t& time : times) {
    const int64_t start = MonotonicNs();
    SignalEventfd(there.get());
    uint64_t value;
    [[maybe_unused]] const ssize_t got = read(back.get(), &value, sizeof value);
    time = MonotonicNs() - start;
  }
  echo->join();
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

}  // namespace vgpu::mediator
