// SPDX-License-Identifier: Apache-2.0
// All measurements but those of the GPU (gpu/setup.h). Each starts its own processes, cleans up after itself,
// and adds its figures and rows; an error means that nothing could be measured. bench/programs/table.cc says
// which program makes which.
#ifndef VGPU_BENCH_FIGURES_FIGURES_H_
#define VGPU_BENCH_FIGURES_FIGURES_H_

#include "bench/lib/process.h"
#include "bench/lib/results.h"

namespace vgpu::bench {

// ---- the ring itself, between two processes of this host ----

// RTT at depth 1 against the raw ping-pong and the best rival.
Result<void> MeasureDepth1(const Effort& effort, Results* results);
// Requests and responses a second with 64 outstanding, against the best rival.
Result<void> MeasureDepth64(const Effort& effort, Results* results);
// The same with 1 (no gate), 8, 64 and 1024 outstanding, against the best of all rivals: pairs of queues,
// virtio's layouts, iceoryx, the kernel's.
Result<void> MeasureDepths(const Effort& effort, Results* results);
// Payloads of 8 bytes to 64 KiB, one at a time, against all rivals (no gate).
Result<void> MeasurePayloads(const Effort& effort, Results* results);
// Doorbell to answer while the mediator sleeps, against a raw eventfd wake.
Result<void> MeasureDoorbell(const Effort& effort, Results* results);
// What a payload of 4 KiB in the arena costs beyond a NOP, against one memcpy by another process.
Result<void> MeasureArena(const Effort& effort, Results* results);

// ---- what the mediator costs and does ----

// Doorbells per request while requests never cease.
Result<void> MeasureSaturated(const Effort& effort, Results* results);
// The mediator's CPU at 1,000 requests a second, against one that always sleeps.
Result<void> MeasureCpuAt1000(const Effort& effort, Results* results);
// Wake-ups and CPU with 64 attached guests that are idle.
Result<void> MeasureIdle(const Effort& effort, Results* results);
// Allocations and log lines of the mediator after the attach.
Result<void> MeasureSteadyState(const Effort& effort, Results* results);

// ---- in VMs ----

// Ring RTT in a VM against the same between host processes.
Result<void> MeasureVmRing(const Effort& effort, Results* results);
// Register window RTT in a VM against a raw eventfd ping-pong on the host.
Result<void> MeasureVmWindow(const Effort& effort, Results* results);
// Seven VMs of mixed pools and priorities at once: how evenly they are served.
Result<void> MeasureSevenVmsSpread(const Effort& effort, Results* results);

// ---- this transport beside those that it replaces ----

// One addition at a time in one VM: ring, register window, socket, and the old NFS system's ways in turns.
// Where there is no NFS server, the figures about it are skipped.
Result<void> MeasureInVm(const Effort& effort, Results* results);
// One vector at a time in one VM, from 1 to 16 Mi elements: ring, socket and NFS, from operands in the
// program's own memory to sums there; and the ring without copies.
Result<void> MeasureVectors(const Effort& effort, Results* results);
// One addition at a time in each of seven VMs at once: ring, register window, socket and the fastest NFS.
Result<void> MeasureSevenVmsLatency(const Effort& effort, Results* results);
// One addition at a time between processes of the host: ring, and forwarding over a socket.
Result<void> MeasureSockets(const Effort& effort, Results* results);
// The same with time to think between an answer and the next request: what the mediator's adaptive wait is
// worth, in latency and in CPU time.
Result<void> MeasureThinking(const Effort& effort, Results* results);
// Requests at a fixed rate, ring and socket; latency from the moment that a request was due.
Result<void> MeasureOpenLoop(const Effort& effort, Results* results);

// ---- the GPU ----

// Everything of //bench:gpu, in a process of its own; skipped where there is no GPU.
Result<void> MeasureGpu(const Effort& effort, Results* results);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_FIGURES_FIGURES_H_
