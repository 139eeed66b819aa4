// SPDX-License-Identifier: Apache-2.0
// A guest that never lacks requests: how often does it still ring the doorbell, and the mediator call back?
#include <fmt/format.h>

#include "bench/figures/figures.h"
#include "bench/subjects/ours/load.h"
#include "bench/subjects/ours/mediator_process.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kDepth = 64;

// How often the mediator called its guests so far.
Result<uint64_t> Calls(const MediatorProcess& mediator) {
  const auto status = mediator.Status();
  if (!status) return tl::make_unexpected(status.error());
  uint64_t calls = 0;
  for (const auto& vm : (*status)["vms"]) {
    for (const auto& ring : vm["rings"]) calls += ring["calls"].get<uint64_t>();
  }
  return calls;
}

}  // namespace

Result<void> MeasureSaturated(const Effort& effort, Results* results) {
  const uint32_t rounds = effort.quick ? 5 : 20;
  const uint64_t count = effort.quick ? 20'000 : 200'000;
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto client = OpenGuest(**mediator, {});
  if (!client) return tl::make_unexpected(client.error());
  const auto calls = Calls(**mediator);
  if (!calls) return tl::make_unexpected(calls.error());
  Figure figure;
  figure.name = "doorbells";
  figure.title = "doorbells per request when saturated";
  figure.gate = {0.05, Better::kLower, 0.001};
  Answers answers;
  for (uint32_t round = 0; round < rounds; ++round) {
    const uint64_t kicks = (*client)->kicks();
    answers += AskDeep(**client, count, kDepth);
    figure.values.push_back(static_cast<double>((*client)->kicks() - kicks) / static_cast<double>(count));
  }
  const auto calls_after = Calls(**mediator);
  if (!calls_after) return tl::make_unexpected(calls_after.error());
  if (answers.wrong != 0) figure.broken = fmt::format("{} wrong answers", answers.wrong);
  figure.note = fmt::format("depth {}, {} requests; the mediator called back {} times", kDepth, answers.count,
                            *calls_after - *calls);
  results->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
