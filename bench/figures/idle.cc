// SPDX-License-Identifier: Apache-2.0
// 64 guests are attached, have each had an answer, and now do nothing: so does the mediator.
#include <fmt/format.h>

#include <thread>

#include "bench/figures/figures.h"
#include "bench/subjects/ours/load.h"
#include "bench/subjects/ours/mediator_process.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kGuests = 64;
constexpr uint32_t kRounds = 5;
constexpr std::chrono::milliseconds kSettle{500};

Figure Zero(const char* name, const char* title) {
  Figure figure;
  figure.name = name;
  figure.title = title;
  figure.gate = {0, Better::kLower, {}};
  return figure;
}

}  // namespace

Result<void> MeasureIdle(const Effort& effort, Results* results) {
  const std::chrono::duration<double> interval(effort.quick ? 0.2 : 2.0);
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  std::vector<std::unique_ptr<guest::Client>> guests;
  Answers answers;
  for (uint32_t i = 0; i < kGuests; ++i) {
    guest::HostOptions options;
    options.vm_id = i + 1;
    options.region_bytes = VGPU_REGION_BYTES_MIN;
    auto client = OpenGuest(**mediator, options);
    if (!client) return tl::make_unexpected(client.error());
    guests.push_back(std::move(*client));
    answers += AskOneByOne(*guests.back(), 10);
  }
  Figure wakes = Zero("idle_wakes", "64 idle guests attached: wake-ups a second");
  Figure cpu = Zero("idle_cpu", "64 idle guests attached: CPU, us a second");
  std::this_thread::sleep_for(kSettle);
  for (uint32_t round = 0; round < kRounds; ++round) {
    const Usage before = UsageOf((*mediator)->pid());
    std::this_thread::sleep_for(interval);
    const Usage used = UsageOf((*mediator)->pid()) - before;
    wakes.values.push_back(static_cast<double>(used.voluntary + used.involuntary) / interval.count());
    cpu.values.push_back(static_cast<double>(used.cpu_ns) / 1e3 / interval.count());
  }
  if (answers.wrong != 0) wakes.broken = fmt::format("{} wrong answers", answers.wrong);
  wakes.note =
      fmt::format("context switches of all the mediator's threads in windows of {} s", interval.count());
  results->figures.push_back(wakes);
  results->figures.push_back(cpu);
  return {};
}

}  // namespace vgpu::bench
