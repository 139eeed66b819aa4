// SPDX-License-Identifier: Apache-2.0
// A guest's adds while a process that is not ours keeps the GPU full, native launches beside the same
// process, and how long after its end adds are as fast as before.
//
// The driver divides the GPU's time among processes. Our resident kernel is to notice that and leave; adds
// are launched meanwhile, until it comes back.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <thread>

#include "bench/figures/gpu/setup.h"
#include "bench/subjects/native/native.h"
#include "bench/subjects/native/neighbour.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kVm = 1;
constexpr uint64_t kLatest = 200;  // requests whose p50 says whether it is as before
constexpr double kAsBefore = 1.5;  // times the p50 of the same round, alone
constexpr uint64_t kBackMaxNs = 10'000'000'000;

// Sends request `i` and takes its answer: is it right?
using Ask = std::function<bool(uint64_t)>;

Ask AskOf(guest::Client* client) {
  return [client](uint64_t i) {
    return IsRight(Await(*client, SendAdd(*client, i), guest::Clock::now() + kAnswerMax), i);
  };
}

void AskOnce(const Ask& ask, const base::Ticks& ticks, Series* series, base::Histogram* latency_ns) {
  const uint64_t i = series->requests++;
  const uint64_t sent = ticks.Now();
  const bool right = ask(i);
  latency_ns->Record(ticks.Ns(ticks.Now() - sent));
  series->wrong += !right;
}

// One request after the other for so long, every one timed: a round.
void AskFor(const Ask& ask, std::chrono::milliseconds span, Series* series) {
  const base::Ticks ticks;
  base::Histogram round_ns;
  const auto end = guest::Clock::now() + span;
  while (guest::Clock::now() < end) AskOnce(ask, ticks, series, &round_ns);
  series->p50_ns.push_back(static_cast<double>(round_ns.Percentile(50)));
  series->p99_ns.push_back(static_cast<double>(round_ns.Percentile(99)));
  series->latency_ns.Merge(round_ns);
}

void AskBaseline(const Ask& ask, std::chrono::milliseconds span, Series* series) {
  const base::Ticks ticks;
  base::Histogram ignored;
  for (uint64_t i = 0; i < kWarmUp; ++i) AskOnce(ask, ticks, series, &ignored);
  AskFor(ask, span, series);
}

// Launches a second of the other process, in the time of its life.
class Pace {
 public:
  explicit Pace(const Neighbour& neighbour)
      : neighbour_(neighbour), launches_(neighbour.launches()), begin_ns_(SteadyNs()) {}
  double Read() const {
    return static_cast<double>(neighbour_.launches() - launches_) * 1e9 /
           static_cast<double>(SteadyNs() - begin_ns_);
  }

 private:
  const Neighbour& neighbour_;
  const uint64_t launches_;
  const uint64_t begin_ns_;
};

Series Named(const char* name) {
  Series series;
  series.name = name;
  return series;
}

class Others {
 public:
  // Without `native`, in a rehearsal, only ours.
  Others(const Setup* setup, Ask ours, Ask native)
      : setup_(*setup), ours_(std::move(ours)), native_(std::move(native)) {}

  // Ours last on both sides: so its resident kernel is not there when native launches are timed, and its adds
  // are under way when the other process ends.
  Result<void> RunRound() {
    if (native_) AskBaseline(native_, setup_.Span(200), &native_baseline_);
    AskBaseline(ours_, setup_.Span(400), &ours_baseline_);
    const auto neighbour = Neighbour::Start(setup_.cuda());
    if (!neighbour) return tl::make_unexpected(neighbour.error());
    const Pace by_itself(**neighbour);
    std::this_thread::sleep_for(setup_.Span(200));
    pace_baseline_.push_back(by_itself.Read());
    if (native_) {
      const Pace beside(**neighbour);
      AskFor(native_, setup_.Span(750), &native_beside_);
      pace_native_.push_back(beside.Read());
    }
    const Pace beside(**neighbour);
    AskFor(ours_, setup_.Span(1'500), &ours_beside_);
    pace_ours_.push_back(beside.Read());
    ComeBack(**neighbour);
    std::this_thread::sleep_for(setup_.pause());
    return {};
  }

  void Print() const {
    fmt::print("\n{:<44} {:>9} {:>6} {:>10} {:>10} {:>10} {:>10}\n",
               "one add at a time, beside another process", "answered", "wrong", "p50 us", "p99", "p99.9",
               "max");
    for (const Series* series : All()) {
      const base::Histogram& latency = series->latency_ns;
      const auto us = [&](double percent) { return static_cast<double>(latency.Percentile(percent)) / 1e3; };
      fmt::print("{:<44} {:>9} {:>6} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f}\n", series->name,
                 series->requests, series->wrong, us(50), us(99), us(99.9),
                 static_cast<double>(latency.max()) / 1e3);
    }
    fmt::print(
        "    the other process: {:.0f} launches a second by itself, {:.0f} beside ours{}\n",
        Median(pace_baseline_), Median(pace_ours_),
        native_ ? fmt::format(", {:.0f} beside native launches", Median(pace_native_)) : std::string());
    std::fflush(stdout);
  }

  nlohmann::json Json() const {
    nlohmann::json series = nlohmann::json::array();
    for (const Series* one : All()) series.push_back(ToJson(*one));
    return {
        {"series", series},
        {"gone_ms", gone_ms_},
        {"back_ms", back_ms_},
        {"launches_a_second", {{"alone", pace_baseline_}, {"ours", pace_ours_}, {"native", pace_native_}}}};
  }

  Figure Beside() const {
    const std::string theirs =
        native_ ? fmt::format("; native launches: {}", LatencyText(native_beside_.latency_ns))
                : std::string();
    Figure figure = Compare("others_rtt", "beside another process: p50 of an add / native launch",
                            {NAN, Better::kLower, {}}, ours_beside_.p50_ns, native_beside_.p50_ns,
                            fmt::format("ours: {}{}", LatencyText(ours_beside_.latency_ns), theirs));
    figure.drift = 1;  // what the other process does to launches is not the machine's own speed
    NoteWrong(wrong(), &figure);
    return figure;
  }

  Figure Back() const {
    Figure figure;
    figure.name = "others_back";
    figure.title = "another process killed: ms until an add's p50 is as before";
    figure.gate.bound = NAN;
    figure.values = back_ms_;
    figure.note = fmt::format(
        "p50 of {} adds within {} times that of the same round alone; worst {:.1f} ms; the process itself "
        "was gone after {:.1f} ms",
        kLatest, kAsBefore, figure.spread().max, Median(gone_ms_));
    figure.detail = {{"back_ms", back_ms_}, {"gone_ms", gone_ms_}};
    if (!setup_.cuda()) figure.skipped = "a rehearsal: the other process does nothing";
    if (setup_.cuda() && never_ != 0) {
      figure.broken =
          fmt::format("in {} rounds adds were not as before within {} s", never_, kBackMaxNs / 1'000'000'000);
    }
    NoteWrong(wrong(), &figure);
    return figure;
  }

 private:
  // We look for fast answers only when the process is gone: while its context lasts the resident kernel may
  // try to come back, and be fast between two time slices.
  void ComeBack(Neighbour& neighbour) {
    const base::Ticks ticks;
    const uint64_t begin_ns = SteadyNs();
    neighbour.BeginKill();
    while (!neighbour.gone()) AskOnce(ours_, ticks, &ours_after_, &ours_after_.latency_ns);
    gone_ms_.push_back(static_cast<double>(SteadyNs() - begin_ns) / 1e6);
    bool back = false;
    while (!back && SteadyNs() - begin_ns < kBackMaxNs) {
      base::Histogram latest_ns;
      for (uint64_t i = 0; i < kLatest; ++i) AskOnce(ours_, ticks, &ours_after_, &latest_ns);
      ours_after_.latency_ns.Merge(latest_ns);
      back = static_cast<double>(latest_ns.Percentile(50)) <= kAsBefore * ours_baseline_.p50_ns.back();
    }
    back_ms_.push_back(static_cast<double>(SteadyNs() - begin_ns) / 1e6);
    never_ += !back;
  }

  std::vector<const Series*> All() const {
    std::vector<const Series*> all = {&ours_baseline_, &ours_beside_, &ours_after_};
    if (native_) all.insert(all.end(), {&native_baseline_, &native_beside_});
    return all;
  }
  uint64_t wrong() const {
    uint64_t sum = 0;
    for (const Series* series : All()) sum += series->wrong;
    return sum;
  }

  const Setup& setup_;
  const Ask ours_, native_;
  Series ours_baseline_ = Named("vgpu-ring, alone");
  Series ours_beside_ = Named("vgpu-ring, beside it");
  Series ours_after_ = Named("vgpu-ring, after it was killed");
  Series native_baseline_ = Named("launch + synchronise, alone");
  Series native_beside_ = Named("launch + synchronise, beside it");
  std::vector<double> pace_baseline_, pace_ours_, pace_native_;  // of the other process, launches a second
  std::vector<double> gone_ms_, back_ms_;                        // since it was killed
  uint32_t never_ = 0;  // rounds in which it was not as before in time
};

// How many of the guest's requests the GPU had: the CPU has them while an engine is replaced.
Result<std::string> WhoAnswered(const MediatorProcess& mediator) {
  const auto status = mediator.Status();
  if (!status) return tl::make_unexpected(status.error());
  for (const auto& vm : (*status)["vms"]) {
    if (vm["vm_id"] != kVm) continue;
    return fmt::format("of all {} answers {} came from the GPU", vm["answered"].get<uint64_t>(),
                       vm["gpu_pieces"].get<uint64_t>());
  }
  return tl::make_unexpected("the guest's VM is no longer there");
}

}  // namespace

Result<void> MeasureOthers(Setup* setup) {
  const auto mediator = setup->Mediator();
  if (!mediator) return tl::make_unexpected(mediator.error());
  guest::HostOptions options;
  options.vm_id = kVm;
  const auto client = OpenGuest(**mediator, options);
  if (!client) return tl::make_unexpected(client.error());
  if (setup->cuda()) {
    if (const auto there = (*mediator)->AwaitGpu(kVm); !there) return there;
  }
  Others others(setup, AskOf(client->get()), setup->lab ? MakeNativeAsk(setup->lab.get()) : Ask());
  for (uint32_t round = 0; round < setup->rounds(8); ++round) {
    if (const auto done = others.RunRound(); !done) return done;
  }
  const auto who = WhoAnswered(**mediator);
  if (!who) return tl::make_unexpected(who.error());
  others.Print();
  setup->json["others"] = others.Json();
  Figure beside = others.Beside();
  if (setup->cuda()) beside.note += "; " + *who;
  setup->figures.push_back(beside);
  setup->figures.push_back(others.Back());
  return {};
}

}  // namespace vgpu::bench
