// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/stall.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <memory>

#include "base/ticks.h"
#include "bench/lib/shared_memory.h"

namespace vgpu::bench {
namespace {

// Before it counts: the process is then where it belongs, and its pages are there.
constexpr uint64_t kWarmUpNs = 1'000'000;

uint64_t Preemptions() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_nivcsw);
}

// Readings count from its begin, and the last one is past its end.
template <class Read>
void Spin(const base::Ticks& ticks, uint64_t span_ns, Read read) {
  const uint64_t begin = ticks.Now();
  uint64_t now_ns = 0;
  read(now_ns);
  while (now_ns < span_ns) {
    now_ns = ticks.Ns(ticks.Now() - begin);
    read(now_ns);
  }
}

// In a process of its own.
void Watch(const base::Ticks& ticks, uint64_t span_ns, Stalls* stalls) {
  Spin(ticks, kWarmUpNs, [](uint64_t) {});
  const uint64_t preemptions = Preemptions();
  StallRecorder recorder(stalls);
  Spin(ticks, span_ns, [&](uint64_t now_ns) { recorder.Read(now_ns); });
  stalls->preemptions = Preemptions() - preemptions;
}

}  // namespace

void Stalls::Merge(const Stalls& more) {
  ns.Merge(more.ns);
  watched_ns += more.watched_ns;
  preemptions += more.preemptions;
}

double Stalls::per_second() const {
  return watched_ns == 0 ? 0 : static_cast<double>(ns.count()) * 1e9 / static_cast<double>(watched_ns);
}

nlohmann::json ToJson(const Stalls& stalls) {
  nlohmann::json histogram = nlohmann::json::array();
  for (size_t i = 0; i < base::Histogram::bucket_count(); ++i) {
    if (stalls.ns.bucket(i) == 0) continue;
    histogram.push_back({{"to_ns", base::Histogram::HighestOf(i)}, {"count", stalls.ns.bucket(i)}});
  }
  return {{"watched_s", static_cast<double>(stalls.watched_ns) / 1e9},
          {"from_ns", StallRecorder::kStallMinNs},
          {"count", stalls.ns.count()},
          {"per_second", stalls.per_second()},
          {"longest_ns", stalls.ns.max()},
          {"preemptions", stalls.preemptions},
          {"histogram", histogram}};
}

Result<std::vector<Stalls>> WatchStalls(const std::vector<int>& cpus, std::chrono::nanoseconds span) {
  const base::Ticks ticks;
  const auto span_ns = static_cast<uint64_t>(span.count());
  std::vector<std::unique_ptr<Shared<Stalls>>> seen;
  std::vector<Child> watchers;
  for (const int cpu : cpus) {
    Stalls* stalls = seen.emplace_back(std::make_unique<Shared<Stalls>>())->get();
    auto watcher = Fork(cpu, [&] { Watch(ticks, span_ns, stalls); });
    if (!watcher) return tl::make_unexpected(watcher.error());
    watchers.push_back(std::move(*watcher));
  }
  std::vector<Stalls> all;
  for (size_t i = 0; i < cpus.size(); ++i) {
    if (watchers[i].Wait() != 0) {
      return tl::make_unexpected(
          fmt::format("cannot watch processor {} (a measurement needs two of its own)", cpus[i]));
    }
    all.push_back(**seen[i]);
  }
  return all;
}

}  // namespace vgpu::bench
