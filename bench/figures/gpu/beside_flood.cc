// SPDX-License-Identifier: Apache-2.0
// An urgent VM's adds while another VM, of the lowest class, always has long vectors outstanding.
//
// The longest answer is judged, and a virtual machine's processors stand still now and then: one answer in
// some 100,000 is late, with or without the flood. So the flood is judged by what it adds. Beside it no more
// answers may be late than alone (within three standard deviations), and none by more than the longest of
// those and the longest pauses of the two processors that every answer needs, which each round watches while
// client and mediator sleep.
#include <fmt/format.h>

#include <cmath>
#include <thread>

#include "bench/figures/gpu/setup.h"
#include "bench/lib/stall.h"

namespace vgpu::bench {
namespace {

constexpr VectorPlan kFlood = {16 << 20, 4, 2};
constexpr uint64_t kMaxNs = 200'000;  // a piece of 100 us, and 100 us
constexpr std::chrono::milliseconds kRampUp{100};

double GigabytesPerSecond(const Interval& interval) {
  return interval.per_second * 3 * static_cast<double>(kFlood.bytes) / 1e9;
}

double Us(uint64_t ns) { return static_cast<double>(ns) / 1e3; }

struct Side {
  base::Histogram latency_ns;
  std::vector<double> p99_ns;
  std::vector<uint64_t> max_ns;  // by round
  uint64_t wrong = 0;

  void Run(Contestant& asker, uint64_t count) {
    base::Histogram round_ns;
    wrong += asker.Run(count, &round_ns).wrong;
    p99_ns.push_back(static_cast<double>(round_ns.Percentile(99)));
    max_ns.push_back(round_ns.max());
    latency_ns.Merge(round_ns);
  }
  // Answers that took longer than kMaxNs, to the histogram's 1.6 %.
  uint64_t late() const {
    uint64_t count = 0;
    for (size_t i = base::Histogram::BucketOf(kMaxNs) + 1; i < base::Histogram::bucket_count(); ++i) {
      count += latency_ns.bucket(i);
    }
    return count;
  }
  std::string Text() const {
    return fmt::format("{}, max {:.1f} us, {} over {:.0f} us", LatencyText(latency_ns), Us(latency_ns.max()),
                       late(), Us(kMaxNs));
  }
  nlohmann::json Json() const {
    return {{"samples", latency_ns.count()},
            {"p50_ns", latency_ns.Percentile(50)},
            {"p99_ns", latency_ns.Percentile(99)},
            {"p99_9_ns", latency_ns.Percentile(99.9)},
            {"max_ns", latency_ns.max()},
            {"max_ns_by_round", max_ns},
            {"late", late()}};
  }
};

// The machine's own pauses, on the processors of the client and of the mediator.
struct Pauses {
  Stalls client, mediator;
  std::vector<uint64_t> client_max_ns, mediator_max_ns;  // by round

  // While both sleep.
  Result<void> Watch(std::chrono::nanoseconds span) {
    const auto seen = WatchStalls({kClientCpu, kServerCpu}, span);
    if (!seen) return tl::make_unexpected(seen.error());
    client.Merge(seen->at(0));
    mediator.Merge(seen->at(1));
    client_max_ns.push_back(seen->at(0).ns.max());
    mediator_max_ns.push_back(seen->at(1).ns.max());
    return {};
  }
  uint64_t longest_ns() const { return client.ns.max() + mediator.ns.max(); }
  std::string Text() const {
    return fmt::format(
        "the machine's own pauses: at most {:.1f} us of the client's processor, {:.1f} of the "
        "mediator's ({:.1f} and {:.1f} a second over {:.0f} us)",
        Us(client.ns.max()), Us(mediator.ns.max()), client.per_second(), mediator.per_second(),
        Us(StallRecorder::kStallMinNs));
  }
  nlohmann::json Json() const {
    nlohmann::json json = {{"client", ToJson(client)}, {"mediator", ToJson(mediator)}};
    json["client"]["longest_ns_by_round"] = client_max_ns;
    json["mediator"]["longest_ns_by_round"] = mediator_max_ns;
    return json;
  }
};

// Longer answers than the machine's own pauses explain are a fault, whatever their median.
void CheckLongest(const Side& baseline, const Side& beside, const Pauses& pauses, bool cuda, Figure* figure) {
  const auto late_baseline = static_cast<double>(baseline.late());
  // Of a difference of two counts.
  const double late_max = late_baseline + 3 * std::sqrt(2 * late_baseline + 1);
  const uint64_t max_ns = kMaxNs + baseline.latency_ns.max() + pauses.longest_ns();
  figure->detail["late_limit"] = late_max;
  figure->detail["max_limit_ns"] = max_ns;
  if (cuda && static_cast<double>(beside.late()) > late_max) {
    figure->broken = fmt::format("{} answers took more than {:.0f} us, {} without the flood", beside.late(),
                                 Us(kMaxNs), baseline.late());
  } else if (cuda && beside.latency_ns.max() > max_ns) {
    figure->broken =
        fmt::format("one answer took {:.0f} us; with the machine's own pauses {:.0f} are allowed",
                    Us(beside.latency_ns.max()), Us(max_ns));
  }
}

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
  Side baseline, beside;
  Pauses pauses;
  std::vector<double> flood_baseline, flood_beside, cpu_us;
  for (uint32_t round = 0; round < setup->rounds(12); ++round) {
    baseline.Run(**asker, count);
    const auto by_itself = WorkFor(**flood, 1, **mediator, setup->Span(300));
    if (!by_itself) return tl::make_unexpected(by_itself.error());
    flood_baseline.push_back(GigabytesPerSecond(*by_itself));
    cpu_us.push_back(by_itself->cpu_us_per_request);
    (*flood)->Work(1);
    std::this_thread::sleep_for(kRampUp);
    const Meter meter(**flood, **mediator);
    const auto begin = guest::Clock::now();
    beside.Run(**asker, count);
    const auto took = guest::Clock::now() - begin;
    flood_beside.push_back(GigabytesPerSecond(meter.Read()));
    if (const auto rested = (*flood)->Rest(); !rested) return rested;
    std::this_thread::sleep_for(setup->pause());  // the mediator falls asleep
    if (const auto watched = pauses.Watch(took); !watched) return watched;
  }

  const double rate = Median(flood_beside);
  Figure figure = Compare("beside_flood", "p99 of an urgent add beside a flood / alone",
                          {1.5, Better::kLower, 1.15}, beside.p99_ns, baseline.p99_ns, "");
  figure.note = fmt::format(
      "beside: {}; alone: {}; {}; the flood moves {:.1f} GB/s, {:.0f} % of the {:.1f} that it moves alone "
      "({:.0f} us CPU a vector)",
      beside.Text(), baseline.Text(), pauses.Text(), rate, 100 * rate / Median(flood_baseline),
      Median(flood_baseline), Median(cpu_us));
  figure.detail["flood_alone_gb_s"] = flood_baseline;
  figure.detail["flood_beside_gb_s"] = flood_beside;
  figure.detail["beside"] = beside.Json();
  figure.detail["alone"] = baseline.Json();
  figure.detail["pauses"] = pauses.Json();
  figure.detail["max_ns"] = beside.latency_ns.max();
  CheckLongest(baseline, beside, pauses, setup->cuda(), &figure);
  if (rate == 0) figure.broken = "the flood stood still";
  NoteWrong(baseline.wrong + beside.wrong + (*flood)->Total().wrong, &figure);
  setup->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
