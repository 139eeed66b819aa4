// SPDX-License-Identifier: Apache-2.0
// A load of ADD requests on one ring, each answer verified.
#ifndef VGPU_GUEST_PING_H_
#define VGPU_GUEST_PING_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/histogram.h"
#include "guest/client.h"
#include "guest/error.h"
#include "guest/progress.h"

namespace vgpu::guest {

struct PingPlan {
  uint64_t count = 1;
  uint32_t depth = 1;                  // requests kept outstanding, 1 to the ring's entries
  std::chrono::nanoseconds think{0};   // pause after taking answers, before sending more
  std::chrono::nanoseconds timeout{};  // for each answer
  uint64_t seed = 0;
  std::chrono::nanoseconds time_max{0};     // sends no more after so long; 0: no matter how long
  const std::atomic<bool>* stop = nullptr;  // when set, ends at once with what there is
  Progress* progress = nullptr;
};

struct PingResult {
  base::Histogram latency_ns;  // from staging the request to having its answer
  uint64_t wrong = 0;
  double seconds = 0;
  uint64_t sleeps = 0;
  uint64_t kicks = 0;
  bool interrupted = false;    // by `stop`
  std::optional<Error> error;  // that ended it

  double rate() const { return seconds > 0 ? static_cast<double>(latency_ns.count()) / seconds : 0; }
};

// Stops at the first request that gets no answer or is refused: an error if it is the very first, else one in
// the result. A wrong sum is counted.
Result<PingResult> Ping(Client& client, const PingPlan& plan);

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_PING_H_
