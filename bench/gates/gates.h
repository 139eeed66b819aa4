// SPDX-License-Identifier: Apache-2.0
// Every measurement that carries a gate, beside those of ring_figures.h. Each starts its own processes, cleans up after
// itself, and adds its figures; an error means that nothing could be measured.
#ifndef VGPU_BENCH_GATES_GATES_H_
#define VGPU_BENCH_GATES_GATES_H_

#include <vector>

#include "bench/figure.h"
#include "bench/process.h"
#include "bench/ring_figures.h"

namespace vgpu::bench {

using Figures = std::vector<Figure>;

// Ring RTT in a VM against the same between host processes.
Result<void> MeasureVmRing(const Effort& effort, Figures* figures);
// Register window RTT in a VM against a raw eventfd ping-pong on the host.
Result<void> MeasureVmWindow(const Effort& effort, Figures* figures);
// Doorbells per request while requests never cease.
Result<void> MeasureSaturated(const Effort& effort, Figures* figures);
// The mediator's CPU at 1,000 requests a second, against one that always sleeps.
Result<void> MeasureCpuAt1000(const Effort& effort, Figures* figures);
// Wake-ups and CPU with 64 attached guests that are idle.
Result<void> MeasureIdle(const Effort& effort, Figures* figures);
// Allocations and log lines of the mediator after the attach.
Result<void> MeasureSteadyState(const Effort& effort, Figures* figures);
// Seven VMs of mixed pools and priorities at once.
Result<void> MeasureSevenVms(const Effort& effort, Figures* figures);
// Everything of //bench:gpu; skipped where there is no GPU.
Result<void> MeasureGpu(const Effort& effort, Figures* figures);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_GATES_GATES_H_
