// SPDX-License-Identifier: Apache-2.0
// What adaptive waiting costs where it gains least: 1,000 requests a second at random times. Two mediators,
// one that waits adaptively and one that always sleeps, have the same load in turns; who has no load sleeps.
#include <fmt/format.h>

#include <array>

#include "bench/figures/figures.h"
#include "bench/subjects/ours/load.h"
#include "bench/subjects/ours/mediator_process.h"

namespace vgpu::bench {
namespace {

constexpr double kRate = 1000;
constexpr std::chrono::seconds kTurn{1};
constexpr uint64_t kSeed = 20240611;

struct Side {
  std::unique_ptr<MediatorProcess> mediator;
  std::unique_ptr<guest::Client> client;
  std::vector<double> ns_per_request;  // of CPU, by round
};

Result<Side> MakeSide(const char* wait) {
  MediatorOptions options;
  options.wait = wait;
  auto mediator = MediatorProcess::Start(options);
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto client = OpenGuest(**mediator, {});
  if (!client) return tl::make_unexpected(client.error());
  return Side{std::move(*mediator), std::move(*client), {}};
}

}  // namespace

Result<void> MeasureCpuAt1000(const Effort& effort, Results* results) {
  const uint32_t rounds = effort.quick ? 5 : 20;
  auto adaptive = MakeSide("adaptive");
  if (!adaptive) return tl::make_unexpected(adaptive.error());
  auto sleeping = MakeSide("sleep");
  if (!sleeping) return tl::make_unexpected(sleeping.error());
  std::mt19937_64 random(kSeed);
  Answers answers;
  for (uint32_t round = 0; round < rounds; ++round) {
    for (Side* side : {&*adaptive, &*sleeping}) {
      const Usage before = UsageOf(side->mediator->pid());
      const Answers some = AskAtRandom(*side->client, kRate, kTurn, &random);
      const Usage used = UsageOf(side->mediator->pid()) - before;
      side->ns_per_request.push_back(static_cast<double>(used.cpu_ns) / static_cast<double>(some.count));
      answers += some;
    }
  }
  Figure figure;
  figure.name = "cpu_1000";
  figure.title = "CPU at 1,000 random requests a second / always asleep";
  figure.gate = {2.0, Better::kLower, 1.2};
  figure.values = Ratios(adaptive->ns_per_request, sleeping->ns_per_request);
  figure.drift = Drift(sleeping->ns_per_request);
  if (answers.wrong != 0) figure.broken = fmt::format("{} wrong answers", answers.wrong);
  figure.note =
      fmt::format("CPU per request: adaptive {:.1f} us, always asleep {:.1f} us; {} requests, seed {}",
                  Quantile(adaptive->ns_per_request, 0.5) / 1e3,
                  Quantile(sleeping->ns_per_request, 0.5) / 1e3, answers.count, kSeed);
  figure.detail = {{"adaptive_ns", adaptive->ns_per_request}, {"sleep_ns", sleeping->ns_per_request}};
  results->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
