// SPDX-License-Identifier: Apache-2.0
// The figures of the ring itself, between two processes of this host.
#ifndef VGPU_BENCH_RING_FIGURES_H_
#define VGPU_BENCH_RING_FIGURES_H_

#include <string>
#include <utility>
#include <vector>

#include "bench/contest.h"
#include "bench/figure.h"
#include "bench/latency/rows.h"
#include "bench/series_figure.h"

namespace vgpu::bench {

// The figures, and the series that they were made of.
struct RingResults {
  std::vector<Figure> figures;
  std::vector<std::pair<std::string, Series>> series;  // with the name of their contest
  std::vector<RowGroup> groups;                        // of latencies

  void Keep(const std::string& contest, const std::vector<Series>& all) {
    for (const Series& each : all) series.emplace_back(contest, each);
  }
};

// RTT at depth 1 against the raw ping-pong and the best rival.
Result<void> MeasureDepth1(const Effort& effort, RingResults* results);
// Requests and responses a second with 64 outstanding, against the best rival.
Result<void> MeasureDepth64(const Effort& effort, RingResults* results);
// The same with 1 (no gate), 8, 64 and 1024 outstanding, against the best of all rivals: pairs of queues, virtio's layouts,
// iceoryx, the kernel's.
Result<void> MeasureDepths(const Effort& effort, RingResults* results);
// Payloads of 8 bytes to 64 KiB, one at a time, against all rivals (no gate): payload_figures.cc.
Result<void> MeasurePayloads(const Effort& effort, RingResults* results);
// What a payload of 4 KiB in the arena costs beyond a NOP, against one memcpy by another process: payload_figures.cc.
Result<void> MeasureArena(const Effort& effort, RingResults* results);
// Doorbell to answer while the mediator sleeps, against a raw eventfd wake.
Result<void> MeasureDoorbell(const Effort& effort, RingResults* results);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_RING_FIGURES_H_
