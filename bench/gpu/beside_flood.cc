// SPDX-License-Identifier: Apache-2.0
// An urgent VM's adds while another VM, of the lowest class, always has long vectors outstanding.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "bench/gpu/setup.h"

namespace vgpu::bench {
namespace {

constexpr VectorPlan kFlood = {16 << 20, 4, 2};
constexpr uint64_t kMaxNs = 200'000;  // a piece of 100 us, and 100 us
constexpr std::chrono::milliseconds kRampUp{100};

double GigabytesPerSecond(const Window& window) {
  return window.per_second * 3 * static_cast<double>(kFlood.bytes) / 1e9;
}

struct Side {
  base::Histogram latency_ns;
  std::vector<double> p99_ns;
  uint64_t wrong = 0;

  void Run(Contestant& asker, uint64_t count) {
    base::Histogram round_ns;
    wrong += asker.Run(count, &round_ns).wrong;
    p99_ns.push_back(static_cast<double>(round_ns.Percentile(99)));
    latency_ns.Merge(round_ns);
  }
};

}  // namespace

Result<void> MeasureBesideFlood(Setup* setup) {
  const auto mediator = setup->Mediator();
  if (!mediator) return tl::make_unexpected(mediator.error());
  GuestPlan plan;
  plan.vm_id = 1;
  plan.priority = 0;
  plan.vectors = true;
  plan.vector = kFlood;
  const auto flood = Guests::Start(**mediator, {plan});
  if (!flood) return tl::make_unexpected(flood.error());
  Asker urgent;
  urgent.priority = 2;
  urgent.timed_every = 1;
  const auto asker = MakeOursDepth1(**mediator, urgent);
  if (!asker) return tl::make_unexpected(asker.error());

  base::Histogram ignored;
  const std::chrono::duration<double, std::nano> span = setup->Span(400);
  const auto count = static_cast<uint64_t>(span.count() / (*asker)->Run(10'000, &ignored).ns_per_request);
  Side alone, beside;
  std::vector<double> flood_alone, flood_beside, cpu_us;
  for (uint32_t round = 0; round < setup->rounds(12); ++round) {
    alone.Run(**asker, count);
    const auto by_itself = WorkFor(**flood, 1, **mediator, setup->Span(300));
    if (!by_itself) return tl::make_unexpected(by_itself.error());
    flood_alone.push_back(GigabytesPerSecond(*by_itself));
    cpu_us.push_back(by_itself->cpu_us_per_request);
    (*flood)->Work(1);
    std::this_thread::sleep_for(kRampUp);
    const Meter meter(**flood, **mediator);
    beside.Run(**asker, count);
    flood_beside.push_back(GigabytesPerSecond(meter.Read()));
    if (const auto rested = (*flood)->Rest(); !rested) return rested;
  }

  const double rate = Median(flood_beside);
  Figure figure = Compare("beside_flood", "p99 of an urgent add beside a flood / alone",
                          {1.5, Better::kLower, 1.15}, beside.p99_ns, alone.p99_ns, "");
  figure.note = fmt::format(
      "beside: {}, max {:.1f} us; alone: {}, max {:.1f} us; the flood moves {:.1f} GB/s, {:.0f} % of the {:.1f} that "
      "it moves alone ({:.0f} us CPU a vector)",
      LatencyText(beside.latency_ns), static_cast<double>(beside.latency_ns.max()) / 1e3,
      LatencyText(alone.latency_ns), static_cast<double>(alone.latency_ns.max()) / 1e3, rate,
      100 * rate / Median(flood_alone), Median(flood_alone), Median(cpu_us));
  figure.detail["flood_alone_gb_s"] = flood_alone;
  figure.detail["flood_beside_gb_s"] = flood_beside;
  figure.detail["max_ns"] = beside.latency_ns.max();
  // What the machine does to a guest that is alone is not the flood's.
  if (setup->cuda() && beside.latency_ns.max() > std::max<uint64_t>(kMaxNs, alone.latency_ns.max())) {
    figure.broken = fmt::format("one answer took {:.0f} us", static_cast<double>(beside.latency_ns.max()) / 1e3);
  }
  if (rate == 0) figure.broken = "the flood stood still";
  NoteWrong(alone.wrong + beside.wrong + (*flood)->Total().wrong, &figure);
  setup->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
