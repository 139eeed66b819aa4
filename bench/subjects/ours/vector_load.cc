// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/vector_load.h"

#include <sched.h>

#include <stdexcept>

#include "api/codes.h"
#include "bench/subjects/ours/load.h"

namespace vgpu::bench {

Result<std::unique_ptr<VectorLoad>> VectorLoad::Open(guest::HostOptions options, const VectorPlan& plan) {
  options.rings = plan.rings;
  options.region_bytes = RegionFor(plan);
  const auto deadline = guest::Clock::now() + kAnswerMax;
  auto opened = guest::HostTransport::Open(options, deadline);
  if (!opened) return tl::make_unexpected(opened.error().text);
  const std::shared_ptr<guest::Transport> transport = std::move(*opened);
  auto load = std::make_unique<VectorLoad>();
  for (uint32_t i = 0; i < plan.rings; ++i) {
    auto client = guest::Client::Open(transport, i, deadline);
    if (!client) return tl::make_unexpected(client.error().text);
    Ring& ring = load->rings_.emplace_back();
    ring.client = std::move(*client);
    for (uint32_t k = 0; k < plan.depth; ++k) ring.idle.push_back(VectorsIn(*ring.client, plan.bytes));
  }
  return load;
}

void VectorLoad::Step() {
  bool progress = false;
  for (Ring& ring : rings_) {
    while (Take(ring)) progress = true;
    while (!ring.idle.empty()) {
      Request request{ring.idle.back(), 0};
      ring.idle.pop_back();
      request.vectors.Prepare();
      request.idx = SendVectorAdd(*ring.client, request.vectors);
      ring.client->Flush();
      ring.sent.push_back(request);
    }
  }
  if (!progress) sched_yield();
}

void VectorLoad::Drain() {
  const auto deadline = guest::Clock::now() + kAnswerMax;
  for (Ring& ring : rings_) {
    while (!ring.sent.empty()) {
      if (Take(ring)) continue;
      if (guest::Clock::now() > deadline) throw std::runtime_error("a vector was not added in time");
      sched_yield();
    }
    for (const Vectors& vectors : ring.idle) wrong_ += !vectors.AllRight();
  }
}

bool VectorLoad::Take(Ring& ring) {
  guest::Answer answer;
  if (ring.sent.empty() || !ring.client->Poll(ring.sent.front().idx, &answer)) return false;
  const Vectors vectors = ring.sent.front().vectors;
  ring.sent.pop_front();
  ++answered_;
  wrong_ += answer.code != VGPU_OK || !vectors.SamplesRight();
  ring.idle.push_back(vectors);
  return true;
}

}  // namespace vgpu::bench
