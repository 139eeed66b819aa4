// SPDX-License-Identifier: Apache-2.0
// The figures of the ring itself, between two processes of this host.
#ifndef VGPU_BENCH_RING_FIGURES_H_
#define VGPU_BENCH_RING_FIGURES_H_

#include <vector>

#include "bench/contest.h"
#include "bench/figure.h"

namespace vgpu::bench {

// How much to measure. Quick: enough to see that everything works.
struct Effort {
  bool quick = false;
  uint32_t rounds() const { return quick ? 8 : 60; }
  uint64_t requests() const { return quick ? 5'000 : 20'000; }
  uint64_t wakes() const { return quick ? 50 : 200; }
};

// The figures, and the series that they were made of.
struct RingResults {
  std::vector<Figure> figures;
  std::vector<std::pair<std::string, Series>> series;  // with the name of their contest
};

// RTT at depth 1 against the raw ping-pong and the best rival.
Result<void> MeasureDepth1(const Effort& effort, RingResults* results);
// Requests and responses a second with 64 outstanding, against the best rival.
Result<void> MeasureDepth64(const Effort& effort, RingResults* results);
// The same with 8, 64 and 1024 outstanding, against the best of all rivals: pairs of queues, virtio's layouts, the kernel's.
Result<void> MeasureDepths(const Effort& effort, RingResults* results);
// Doorbell to answer while the mediator sleeps, against a raw eventfd wake.
Result<void> MeasureDoorbell(const Effort& effort, RingResults* results);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_RING_FIGURES_H_
