// SPDX-License-Identifier: Apache-2.0
// This project as a contestant: the client library's request path against the real daemon, which decodes,
// validates, schedules and runs each request.
#ifndef VGPU_BENCH_SUBJECTS_OURS_OURS_H_
#define VGPU_BENCH_SUBJECTS_OURS_OURS_H_

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/lib/payload.h"
#include "bench/subjects/ours/mediator_process.h"

namespace vgpu::bench {

// How the one who asks appears.
struct Asker {
  std::string label = "vgpu-ring";
  uint32_t priority = 1;
  uint64_t timed_every = Stopwatch::kEvery;  // requests
  std::optional<Pace> pace;                  // as fast as answers come; then every request is timed
};

// One ADD at a time, waited for with Client::Wait.
Result<std::unique_ptr<Contestant>> MakeOursDepth1(const MediatorProcess& mediator, const Asker& asker = {});

// One VECTOR_ADD at a time, of operands of so many bytes (i32).
Result<std::unique_ptr<Contestant>> MakeOursVector(const MediatorProcess& mediator, uint64_t bytes,
                                                   const Asker& asker);

// One payload at a time (bench/lib/payload.h): of 8 bytes an ADD of its two numbers, of more a VECTOR_ADD of
// it and itself.
Result<std::unique_ptr<Contestant>> MakeOursPayload(const MediatorProcess& mediator, uint64_t bytes);
// Two of one client, timed in the same way: the first sends a NOP beside such a payload, which it leaves
// alone; the second sends the VECTOR_ADD. The payload lies at *place.
Result<Contestants> MakeOursBesidePayload(const MediatorProcess& mediator, uint64_t bytes,
                                          PayloadPlace* place);

// `depth` requests outstanding, flushed `batch` at a time.
Result<std::unique_ptr<Contestant>> MakeOursDeep(const MediatorProcess& mediator, uint32_t depth,
                                                 uint32_t batch);

// The fastest of these batches (contest.h, Fastest). Throws.
std::unique_ptr<Contestant> MakeOursFastestDeep(const MediatorProcess& mediator, uint32_t depth,
                                                const std::vector<uint32_t>& batches, uint64_t count,
                                                nlohmann::json* tried, size_t places = kPlaces);

// Doorbell to answer: `pause` goes by before each request, so that the mediator sleeps.
Result<std::unique_ptr<Contestant>> MakeOursAsleep(const MediatorProcess& mediator,
                                                   std::chrono::nanoseconds pause);

// One at a time, and this side goes to sleep at once instead of spinning for a while; for a mediator that
// does, too.
Result<std::unique_ptr<Contestant>> MakeOursBothAsleep(const MediatorProcess& mediator);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_OURS_H_
