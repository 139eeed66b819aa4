// SPDX-License-Identifier: Apache-2.0
// From which size on the copy engine is the better way: vectors of every size on mediators that always copy,
// never copy, and decide by themselves.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "bench/figures/gpu/setup.h"
#include "bench/subjects/ours/vector_load.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kSmallest = 4 << 10;
constexpr uint64_t kLargest = 16 << 20;

struct Way {
  const char* name;
  const char* keys;
};
constexpr Way kShipped = {"as shipped", ""};
constexpr Way kOthers[] = {{"always copies", "copy_from_kib = 0"},
                           {"never copies", "copy_from_kib = 1048576"}};

// GB/s, by this process, with 8 outstanding.
Result<double> RateOf(const MediatorProcess& mediator, uint64_t bytes, std::chrono::milliseconds span) {
  guest::HostOptions options;
  options.socket = mediator.socket();
  options.vm_id = 1;
  const auto load = VectorLoad::Open(options, {bytes, 4, 2});
  if (!load) return tl::make_unexpected(load.error());
  const auto begin = guest::Clock::now();
  while (guest::Clock::now() < begin + span) (*load)->Step();
  const std::chrono::duration<double> gone = guest::Clock::now() - begin;
  const auto answered = static_cast<double>((*load)->answered());
  (*load)->Drain();
  if (const uint64_t wrong = (*load)->wrong(); wrong != 0) {
    return tl::make_unexpected(fmt::format("{} wrong sums of {} bytes", wrong, bytes));
  }
  return answered * 3 * static_cast<double>(bytes) / gone.count() / 1e9;
}

Result<void> MeasureSize(Setup* setup, const Way& way, const MediatorProcess& mediator, uint64_t bytes) {
  Asker asker;
  asker.timed_every = 1;
  const auto one_by_one = MakeOursVector(mediator, bytes, asker);
  if (!one_by_one) return tl::make_unexpected(one_by_one.error());
  base::Histogram latency_ns;
  const uint64_t count = std::max<uint64_t>(30, (setup->quick ? 2 << 20 : 32 << 20) / bytes);
  const Round round = (*one_by_one)->Run(std::min<uint64_t>(count, 2'000), &latency_ns);
  if (round.wrong != 0)
    return tl::make_unexpected(fmt::format("{} wrong sums of {} bytes", round.wrong, bytes));
  std::this_thread::sleep_for(setup->pause());
  const auto rate = RateOf(mediator, bytes, setup->Span(200));
  if (!rate) return tl::make_unexpected(rate.error());
  fmt::print("{:>8} KiB  {:<14} {:>10.2f} {:>10.2f} {:>10.2f}\n", bytes >> 10, way.name,
             static_cast<double>(latency_ns.Percentile(50)) / 1e3,
             static_cast<double>(latency_ns.Percentile(99)) / 1e3, *rate);
  setup->json["crossing"].push_back({{"bytes", bytes},
                                     {"way", way.name},
                                     {"p50_ns", latency_ns.Percentile(50)},
                                     {"p99_ns", latency_ns.Percentile(99)},
                                     {"gb_s", *rate}});
  return {};
}

}  // namespace

Result<void> MeasureCrossing(Setup* setup) {
  std::vector<Way> ways = {kShipped};
  if (setup->cuda()) ways.insert(ways.end(), std::begin(kOthers), std::end(kOthers));
  std::vector<std::unique_ptr<MediatorProcess>> mediators;
  for (const Way& way : ways) {
    auto mediator = setup->Mediator(way.keys);
    if (!mediator) return tl::make_unexpected(mediator.error());
    mediators.push_back(std::move(*mediator));
  }
  fmt::print("\n{:<27} {:>10} {:>10} {:>10}\n", "vectors, by size of an operand", "p50 us", "p99 us", "GB/s");
  for (uint64_t bytes = kSmallest; bytes <= kLargest; bytes *= 4) {
    for (size_t i = 0; i < mediators.size(); ++i) {
      if (const auto measured = MeasureSize(setup, ways[i], *mediators[i], bytes); !measured) return measured;
    }
  }
  std::fflush(stdout);
  return {};
}

}  // namespace vgpu::bench
