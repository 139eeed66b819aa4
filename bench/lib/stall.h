// SPDX-License-Identifier: Apache-2.0
// How long the machine itself lets a processor stand still: a virtual one while its host does something else,
// any while another program has its turn. Whoever runs there cannot answer meanwhile.
#ifndef VGPU_BENCH_LIB_STALL_H_
#define VGPU_BENCH_LIB_STALL_H_

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/histogram.h"
#include "bench/lib/process.h"

namespace vgpu::bench {

// Of one processor, while it was watched.
struct Stalls {
  base::Histogram ns;  // how long each lasted
  uint64_t watched_ns = 0;
  uint64_t preemptions = 0;  // by other programs of this machine: the part of them that its kernel knows of

  void Merge(const Stalls& more);
  double per_second() const;
};
nlohmann::json ToJson(const Stalls& stalls);

// Finds them in readings of a clock that follow one another without a pause.
class StallRecorder {
 public:
  // Below this it may be an interrupt, or the clock's own cost.
  static constexpr uint64_t kStallMinNs = 20'000;

  explicit StallRecorder(Stalls* stalls) : stalls_(stalls) {}

  void Read(uint64_t now_ns) {
    // Nothing lies before the first reading; a clock that steps back tells nothing.
    if (begun_ && now_ns > last_ns_) {
      const uint64_t gap_ns = now_ns - last_ns_;
      stalls_->watched_ns += gap_ns;
      if (gap_ns >= kStallMinNs) stalls_->ns.Record(gap_ns);
    }
    begun_ = true;
    last_ns_ = now_ns;
  }

 private:
  Stalls* const stalls_;
  bool begun_ = false;
  uint64_t last_ns_ = 0;
};

// For `span`, a process on each of these processors reads the clock and does nothing else, all at once; this
// process sleeps. What they saw, in the order of `cpus`.
Result<std::vector<Stalls>> WatchStalls(const std::vector<int>& cpus, std::chrono::nanoseconds span);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_STALL_H_
