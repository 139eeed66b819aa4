// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/contest.h"

#include <sys/resource.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "bench/lib/rounds.h"
#include "bench/lib/stats.h"

namespace vgpu::bench {
namespace {

// How often this thread went to sleep.
uint64_t OwnSleeps() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_nvcsw);
}

class SeveralPlaces final : public Contestant {
 public:
  explicit SeveralPlaces(Contestants instances) : instances_(std::move(instances)) {}
  std::string name() const override { return instances_.front()->name(); }
  pid_t server() const override { return instances_.front()->server(); }
  uint64_t share(uint64_t count) const override { return instances_.front()->share(count); }

  // Of all their servers, of which those of the others sleep.
  Usage usage() const override {
    Usage sum;
    std::set<pid_t> counted;
    for (const auto& instance : instances_) {
      if (counted.insert(instance->server()).second) sum += instance->usage();
    }
    return sum;
  }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    return instances_[turn_++ % instances_.size()]->Run(count, latency_ns);
  }

 private:
  const Contestants instances_;
  size_t turn_ = 0;
};

void TakeTurn(Contestant& contestant, uint64_t count, std::chrono::milliseconds pause, Series* series) {
  base::Histogram latency_ns;
  const uint64_t share = contestant.share(count);
  const auto requests = static_cast<double>(share);
  const Usage before = contestant.usage();
  const uint64_t slept = OwnSleeps();
  const Round result = contestant.Run(share, &latency_ns);
  series->client_sleeps.push_back(static_cast<double>(OwnSleeps() - slept) / requests);
  std::this_thread::sleep_for(pause);
  const Usage used = contestant.usage() - before;
  series->latency_ns.Merge(latency_ns);
  series->ns_per_request.push_back(result.ns_per_request);
  if (latency_ns.count() != 0) {
    series->p50_ns.push_back(static_cast<double>(latency_ns.Percentile(50)));
    series->p99_ns.push_back(static_cast<double>(latency_ns.Percentile(99)));
  }
  series->cpu_ns.push_back(static_cast<double>(used.cpu_ns) / requests);
  series->sleeps.push_back(static_cast<double>(used.voluntary) / requests);
  series->requests += share;
  series->wrong += result.wrong;
}

}  // namespace

nlohmann::json ToJson(const Series& series) {
  const base::Histogram& latency = series.latency_ns;
  return {{"name", series.name},
          {"rounds", series.ns_per_request.size()},
          {"requests", series.requests},
          {"wrong", series.wrong},
          {"ns_per_request", series.ns_per_request},
          {"p50_ns", series.p50_ns},
          {"p99_ns", series.p99_ns},
          {"server_sleeps_per_request", series.sleeps},
          {"client_sleeps_per_request", series.client_sleeps},
          {"server_cpu_ns", series.cpu_ns},
          {"latency_ns",
           {{"samples", latency.count()},
            {"p50", latency.Percentile(50)},
            {"p99", latency.Percentile(99)},
            {"p99_9", latency.Percentile(99.9)},
            {"max", latency.max()}}}};
}

std::vector<Series> RunContest(const Contestants& contestants, uint32_t rounds, uint64_t count,
                               std::chrono::milliseconds pause) {
  std::vector<Series> all(contestants.size());
  for (size_t i = 0; i < contestants.size(); ++i) all[i].name = contestants[i]->name();
  const auto at_once = [](uint64_t) { return Result<void>(); };
  const auto turn = [&](uint64_t, size_t who) {
    TakeTurn(*contestants[who], count, pause, &all[who]);
    return Result<void>();
  };
  (void)PlayRounds(rounds, contestants.size(), at_once, turn);  // what goes wrong in a turn is thrown
  return all;
}

std::unique_ptr<Contestant> InPlaces(Contestants instances) {
  return std::make_unique<SeveralPlaces>(std::move(instances));
}

std::unique_ptr<Contestant> InPlaces(const Maker& make, size_t places) {
  Contestants instances;
  while (instances.size() < places) instances.push_back(make());
  return InPlaces(std::move(instances));
}

std::unique_ptr<Contestant> Fastest(const std::vector<Maker>& variants, uint64_t count, nlohmann::json* tried,
                                    size_t places) {
  constexpr uint32_t kRounds = 25;  // of a fraction of a millisecond: enough not to pick by chance
  Contestants all;
  for (const Maker& make : variants) all.push_back(make());
  std::vector<std::vector<double>> times;
  for (const Series& series : RunContest(all, kRounds, count)) {
    times.push_back(series.ns_per_request);
    tried->push_back({{"variant", series.name}, {"ns_per_request", Quantile(series.ns_per_request, 0.5)}});
  }
  const Maker& best = variants[BestOf(times, Better::kLower)];
  all.clear();  // with the places that they were tried in: the best one may owe its victory to its own
  return InPlaces(best, places);
}

}  // namespace vgpu::bench
