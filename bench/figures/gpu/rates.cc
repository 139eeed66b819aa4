// SPDX-License-Identifier: Apache-2.0
// Adds a second: of one guest, and of many, beside a resident kernel that one thread of the host feeds.
#include <fmt/format.h>

#include <algorithm>

#include "bench/figures/gpu/setup.h"
#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kDepth = 64;
constexpr uint32_t kGuests = 32;
constexpr uint32_t kFewGuests = 8;

double Rate(double ns_per_request) { return 1e9 / ns_per_request; }

std::vector<double> RatesOf(const Series* series) {
  std::vector<double> rates;
  if (series == nullptr) return rates;
  for (const double ns : series->ns_per_request) rates.push_back(Rate(ns));
  return rates;
}

Result<void> MeasureOneGuest(Setup* setup) {
  const auto mediator = setup->Mediator();
  if (!mediator) return tl::make_unexpected(mediator.error());
  nlohmann::json tried;
  // One place: every guest that is registered with the GPU costs it something.
  auto ours = MakeOursFastestDeep(**mediator, kDepth, {8, 16, 32}, setup->quick ? 2'000 : 10'000, &tried, 1);
  Contestants all;
  const std::string our_name = ours->name();
  if (setup->lab != nullptr) {
    all.push_back(MakeNativeAsyncLaunches(setup->lab.get()));
    for (const uint32_t depth : {8u, kDepth, 256u}) all.push_back(MakeBareResident(setup->lab.get(), depth));
  }
  all.push_back(std::move(ours));
  const std::vector<Series> series =
      RunContest(all, setup->rounds(40), setup->quick ? 4'000 : 32'000, setup->pause());
  setup->json["deep"] = PrintContest("many adds at a time", series);
  const Series& us = *Find(series, our_name);
  const Series* theirs = Find(series, fmt::format("bare resident kernel, depth {}", kDepth));
  Figure figure = Compare("rate_1", "adds/s, 1 guest, depth 64 / resident kernel fed natively",
                          {0.5, Better::kHigher, 0.9}, RatesOf(&us), RatesOf(theirs), "");
  figure.note = fmt::format("{}: {:.2f} M/s, {:.3f} us CPU a request; natively {:.2f} M/s", us.name,
                            Median(RatesOf(&us)) / 1e6, Mean(us.cpu_ns) / 1e3, Median(RatesOf(theirs)) / 1e6);
  NoteWrong(us.wrong + (theirs ? theirs->wrong : 0), &figure);
  setup->figures.push_back(figure);
  return {};
}

// Guests of one mediator, and what they came to by round.
struct Side {
  std::unique_ptr<MediatorProcess> mediator;
  std::unique_ptr<Guests> guests;
  std::vector<double> rate, cpu_us, few_rate, few_cpu_us;

  Result<void> Run(std::chrono::milliseconds span) {
    const auto all = WorkFor(*guests, kGuests, *mediator, span);
    if (!all) return tl::make_unexpected(all.error());
    const auto few = WorkFor(*guests, kFewGuests, *mediator, span);
    if (!few) return tl::make_unexpected(few.error());
    rate.push_back(all->per_second);
    cpu_us.push_back(all->cpu_us_per_request);
    few_rate.push_back(few->per_second);
    few_cpu_us.push_back(few->cpu_us_per_request);
    return {};
  }
  std::string Text() const {
    return fmt::format("{:.2f} M/s ({:.3f} us CPU a request), of {} guests {:.2f} M/s ({:.3f})",
                       Median(rate) / 1e6, Median(cpu_us), kFewGuests, Median(few_rate) / 1e6,
                       Median(few_cpu_us));
  }
  nlohmann::json Json() const {
    return {{"rate", rate},
            {"cpu_us", cpu_us},
            {"rate_8", few_rate},
            {"cpu_us_8", few_cpu_us},
            {"wrong", guests->Total().wrong}};
  }
};

Result<Side> MakeSide(const Setup& setup) {
  auto mediator = setup.Mediator();
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto guests = Guests::Start(**mediator, AddGuests(kGuests, 1, kDepth));
  if (!guests) return tl::make_unexpected(guests.error());
  Side side;
  side.mediator = std::move(*mediator);
  side.guests = std::move(*guests);
  return side;
}

Result<void> MeasureManyGuests(Setup* setup) {
  Setup on_cpu;
  on_cpu.backend = "cpu";
  auto ours = MakeSide(*setup);
  auto cpu = MakeSide(on_cpu);
  for (const auto* side : {&ours, &cpu}) {
    if (!*side) return tl::make_unexpected(side->error());
  }
  std::unique_ptr<Contestant> feeder, launches;
  if (setup->lab != nullptr) {
    feeder = MakeBareResident(setup->lab.get(), 256);
    launches = MakeNativeAsyncLaunches(setup->lab.get());
  }
  std::vector<double> fed, launched;
  uint64_t wrong = 0;
  for (uint32_t round = 0; round < setup->rounds(10); ++round) {
    for (Contestant* native : {feeder.get(), launches.get()}) {
      if (native == nullptr) continue;
      base::Histogram ignored;
      const uint64_t count = native == feeder.get() ? 2'000'000 : 50'000;
      const Round result = native->Run(count / (setup->quick ? 100 : 1), &ignored);
      (native == feeder.get() ? fed : launched).push_back(Rate(result.ns_per_request));
      wrong += result.wrong;
    }
    for (Side* side : {&*ours, &*cpu}) {
      if (const auto ran = side->Run(setup->Span(400)); !ran) return ran;
    }
  }
  Figure figure = Compare("rate_32", "adds/s, 32 guests / resident kernel fed natively",
                          {0.3, Better::kHigher, 0.7}, ours->rate, fed, "");
  figure.note =
      fmt::format("{}; on the CPU backend {}; natively fed {:.2f} M/s, asynchronous launches {:.2f} M/s",
                  ours->Text(), cpu->Text(), Median(fed) / 1e6, Median(launched) / 1e6);
  figure.detail = {
      {"ours", ours->Json()}, {"cpu_backend", cpu->Json()}, {"fed", fed}, {"launches", launched}};
  NoteWrong(wrong + ours->guests->Total().wrong + cpu->guests->Total().wrong, &figure);
  setup->json["rates"] = figure.detail;
  setup->figures.push_back(figure);
  return {};
}

}  // namespace

Result<void> MeasureRates(Setup* setup) {
  const auto one = MeasureOneGuest(setup);
  return one ? MeasureManyGuests(setup) : one;
}

}  // namespace vgpu::bench
