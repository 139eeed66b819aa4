// SPDX-License-Identifier: Apache-2.0
// A guest's kernel that never ends: how long after its deadline all other VMs are served again. Each of them
// asks all the time and says when its longest wait for an answer ended.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "api/codes.h"
#include "bench/figures/gpu/setup.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kOpHang = 0x1f;  // of test builds (api/debug.h)
constexpr uint32_t kGuests = 32;
constexpr uint32_t kFirstAggressor = 100;
constexpr uint64_t kRegionBytes = 16 << 20;
constexpr uint64_t kTimeoutMs = 200;
constexpr uint32_t kPauseUs = 100;          // so that the guests do not contend for the host's processors
constexpr uint64_t kGapMinNs = 10'000'000;  // a shorter wait is a turn of the host's scheduler
// After the deadline: a wait that begins later has another reason.
constexpr uint64_t kGapBeginMaxNs = 300'000'000;
constexpr std::chrono::milliseconds kObserve{2'000};

// 32 guests, and one whose memory takes long to register.
std::vector<GuestPlan> Others(bool cuda) {
  std::vector<GuestPlan> plans = AddGuests(kGuests, 1, 1, kRegionBytes);
  plans.push_back(plans.back());
  plans.back().vm_id = kGuests + 1;
  plans.back().region_bytes = cuda ? 4ull << 30 : 256 << 20;
  for (GuestPlan& plan : plans) plan.pause_us = kPauseUs;
  return plans;
}

// Submits the request; its deadline (steady clock, ns), and how it was answered.
struct Aggressor {
  uint64_t deadline_ns = 0;
  uint32_t code = 0;
};
Result<Aggressor> Hang(guest::Client& client, Guests& others) {
  const uint64_t now = SteadyNs();
  const uint64_t deadline = now + kTimeoutMs * 1'000'000;
  for (size_t i = 0; i < others.size(); ++i) {
    others.place(i).watch_until = deadline + kGapBeginMaxNs;
    others.place(i).watch_since = now;
  }
  const uint32_t idx = client.Submit(kOpHang, 0, nullptr, 0);
  const auto answer = client.Wait(idx, guest::Clock::now() + kAnswerMax);
  if (!answer) return tl::make_unexpected("the request that hangs got no answer: " + answer.error().text);
  return Aggressor{deadline, answer->code};
}

// From the deadline until the last of the others was answered again, in ms; the longest wait of any.
struct Outage {
  double after_ms = 0;
  double longest_ms = 0;
};
Outage OutageOf(const Guests& others, uint64_t deadline_ns) {
  Outage outage;
  for (size_t i = 0; i < others.size(); ++i) {
    const GuestPlace& place = others.place(i);
    outage.longest_ms = std::max(outage.longest_ms, static_cast<double>(place.gap_ns) / 1e6);
    if (place.gap_ns < kGapMinNs || place.gap_end_ns <= deadline_ns) continue;
    outage.after_ms = std::max(outage.after_ms, static_cast<double>(place.gap_end_ns - deadline_ns) / 1e6);
  }
  return outage;
}

// How many of them have had no answer in the last time.
Result<uint64_t> Silent(const Guests& others) {
  std::vector<uint64_t> before;
  for (size_t i = 0; i < others.size(); ++i) before.push_back(others.place(i).answered);
  std::this_thread::sleep_for(kObserve / 4);
  uint64_t silent = 0;
  for (size_t i = 0; i < others.size(); ++i) silent += others.place(i).answered == before[i];
  return silent;
}

}  // namespace

Result<void> MeasureHung(Setup* setup) {
  MediatorOptions options;
  options.backend = setup->backend;
  options.binary = "mediator/mediator_crash";
  options.spread = true;
  if (setup->cuda()) options.config = fmt::format("[gpu]\ntimeout_ms = {}\n", kTimeoutMs);
  Figure figure;
  figure.name = "hung";
  figure.title = "a hung kernel: ms from deadline to all others served";
  figure.gate = {500, Better::kLower, 100};
  if (!Runfile(options.binary)) {
    figure.skipped = "there is no mediator_crash: build //mediator:mediator_crash, too";
    setup->figures.push_back(figure);
    return {};
  }
  const auto mediator = MediatorProcess::Start(options);
  if (!mediator) return tl::make_unexpected(mediator.error());
  const auto others = Guests::Start(**mediator, Others(setup->cuda()));
  if (!others) return tl::make_unexpected(others.error());
  (*others)->Work((*others)->size());
  std::vector<double> longest_ms;
  std::vector<uint32_t> codes;
  for (uint32_t round = 0; round < setup->rounds(7); ++round) {
    guest::HostOptions guest;
    guest.vm_id = kFirstAggressor + round;  // one that has hung before may be refused
    const auto client = OpenGuest(**mediator, guest);
    if (!client) return tl::make_unexpected(client.error());
    if (setup->cuda()) {
      if (const auto there = (*mediator)->AwaitGpu(guest.vm_id); !there) return there;
    }
    std::this_thread::sleep_for(setup->Span(1'000));
    const auto aggressor = Hang(**client, **others);
    if (!aggressor) return tl::make_unexpected(aggressor.error());
    std::this_thread::sleep_for(setup->cuda() ? kObserve : kObserve / 8);
    const auto silent = Silent(**others);
    if (*silent != 0) figure.broken = fmt::format("{} VMs were not served again", *silent);
    const Outage outage = OutageOf(**others, aggressor->deadline_ns);
    figure.values.push_back(outage.after_ms);
    longest_ms.push_back(outage.longest_ms);
    codes.push_back(aggressor->code);
    if (setup->cuda() && aggressor->code != VGPU_ERR_INTERRUPTED && aggressor->code != VGPU_ERR_TIMEOUT) {
      figure.broken = fmt::format("the culprit was answered with code {}", aggressor->code);
    }
  }
  const Answers total = (*others)->Total();
  figure.note = fmt::format(
      "{} VMs of 16 MiB and one of 4 GiB; worst {:.1f} ms; longest wait for an answer {:.1f} ms (below 10 is "
      "none); the culprit got {}; {} answers",
      kGuests, figure.spread().max, *std::max_element(longest_ms.begin(), longest_ms.end()),
      fmt::join(codes, ", "), total.count);
  figure.detail = {{"longest_ms", longest_ms}, {"codes", codes}};
  if (!setup->cuda()) figure.skipped = "nothing hangs on the CPU backend";
  NoteWrong(total.wrong, &figure);
  setup->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
