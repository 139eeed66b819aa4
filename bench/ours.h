// SPDX-License-Identifier: Apache-2.0
// This project as a contestant: the client library's request path against the real daemon, which decodes, validates,
// schedules and runs each request.
#ifndef VGPU_BENCH_OURS_H_
#define VGPU_BENCH_OURS_H_

#include <chrono>
#include <memory>

#include "bench/contest.h"
#include "bench/mediator_process.h"

namespace vgpu::bench {

// One ADD at a time, waited for with Client::Wait.
Result<std::unique_ptr<Contestant>> MakeOursDepth1(const MediatorProcess& mediator);

// `depth` requests outstanding, flushed `batch` at a time.
Result<std::unique_ptr<Contestant>> MakeOursDeep(const MediatorProcess& mediator, uint32_t depth, uint32_t batch);

// Doorbell to answer: `pause` goes by before each request, so that the mediator sleeps.
Result<std::unique_ptr<Contestant>> MakeOursAsleep(const MediatorProcess& mediator, std::chrono::nanoseconds pause);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_OURS_H_
