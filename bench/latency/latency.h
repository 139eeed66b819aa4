// SPDX-License-Identifier: Apache-2.0
// This transport beside those that it replaces. Each measurement starts its own processes, cleans up after itself, and
// adds its rows and figures; an error means that nothing could be measured.
#ifndef VGPU_BENCH_LATENCY_LATENCY_H_
#define VGPU_BENCH_LATENCY_LATENCY_H_

#include <vector>

#include "bench/figure.h"
#include "bench/latency/rows.h"
#include "bench/process.h"
#include "bench/ring_figures.h"

namespace vgpu::bench {

struct LatencyResults {
  std::vector<RowGroup> groups;
  std::vector<Figure> figures;
};

// One addition at a time in one VM: ring, register window, socket, and the old NFS system's ways in turns. Where there
// is no NFS server, the figures about it are skipped.
Result<void> MeasureInVm(const Effort& effort, LatencyResults* results);

// One vector at a time in one VM, from 1 to 16 Mi elements: ring, socket and NFS, from operands in the program's own
// memory to sums there; and the ring without copies.
Result<void> MeasureVectors(const Effort& effort, LatencyResults* results);

// One addition at a time in each of seven VMs at once: ring, register window, socket and the fastest NFS.
Result<void> MeasureSevenAtOnce(const Effort& effort, LatencyResults* results);

// One addition at a time between processes of the host: ring, and forwarding over a socket.
Result<void> MeasureSockets(const Effort& effort, LatencyResults* results);

// The same with time to think between an answer and the next request: what the mediator's adaptive wait is worth, in latency
// and in CPU time.
Result<void> MeasureThinking(const Effort& effort, LatencyResults* results);

// Requests at a fixed rate, ring and socket; latency from the moment that a request was due.
Result<void> MeasureOpenLoop(const Effort& effort, LatencyResults* results);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LATENCY_LATENCY_H_
