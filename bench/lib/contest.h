// SPDX-License-Identifier: Apache-2.0
// Contestants run in turns, many short rounds each, one at a time: this process asks, another one answers.
#ifndef VGPU_BENCH_LIB_CONTEST_H_
#define VGPU_BENCH_LIB_CONTEST_H_

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/ticks.h"
#include "bench/lib/process.h"

namespace vgpu::bench {

// What one round of a contestant came to.
struct Round {
  double ns_per_request = 0;
  uint64_t wrong = 0;  // answers
};

class Contestant {
 public:
  virtual ~Contestant() = default;
  virtual std::string name() const = 0;
  // The process that answers.
  virtual pid_t server() const = 0;
  // What answering has cost so far.
  virtual Usage usage() const { return UsageOf(server()); }
  // How many requests its round has where others' has `count`: one that takes milliseconds makes fewer.
  virtual uint64_t share(uint64_t count) const { return count; }
  // Sends `count` requests, checks every answer, and records the latency of some (of all that are timed one
  // by one). Both sides are warm when the time begins to run.
  virtual Round Run(uint64_t count, base::Histogram* latency_ns) = 0;
};
using Contestants = std::vector<std::unique_ptr<Contestant>>;

// All rounds of one contestant.
struct Series {
  std::string name;
  std::vector<double> ns_per_request;  // by round
  std::vector<double> p50_ns, p99_ns;  // by round; of those that are timed one by one
  std::vector<double> sleeps;          // of the server, by request and round
  std::vector<double> client_sleeps;   // of this thread, by request and round
  std::vector<double> cpu_ns;          // of the server, by request and round, the warm-up included
  base::Histogram latency_ns;
  uint64_t requests = 0;
  uint64_t wrong = 0;
};
nlohmann::json ToJson(const Series& series);

// Every contestant has one turn in each round, in the order of rounds.h. After each turn `pause` goes by:
// what it left on a device has then ended, and the kernel has counted all of the server's time.
std::vector<Series> RunContest(const Contestants& contestants, uint32_t rounds, uint64_t count,
                               std::chrono::milliseconds pause = {});

// A contestant in several places of memory: instances of it take its rounds in turns. Where a page happens to
// lie changes the cost of handing over a line of it by half and more, as long as it lies there; one place
// would say who was lucky.
inline constexpr size_t kPlaces = 5;
std::unique_ptr<Contestant> InPlaces(Contestants instances);
using Maker = std::function<std::unique_ptr<Contestant>()>;
std::unique_ptr<Contestant> InPlaces(const Maker& make, size_t places = kPlaces);

// Tries variants of one contestant (batch sizes, ways to poll) in a few short rounds, each in one place, and
// returns the fastest, made anew in so many places. *tried says what each came to.
std::unique_ptr<Contestant> Fastest(const std::vector<Maker>& variants, uint64_t count, nlohmann::json* tried,
                                    size_t places = kPlaces);

// Requests before the time begins to run, unless fewer are timed.
inline constexpr uint64_t kWarmUp = 500;
// How many a round of requests one at a time asks in all: its server must not wait for more, or it disturbs
// the next one.
inline uint64_t WithWarmUp(uint64_t count) { return std::min(kWarmUp, count) + count; }

// The operands of request `i`, and their sum: known to both sides, different for each request.
struct Operands {
  int32_t a;
  int32_t b;
  uint32_t sum() const { return static_cast<uint32_t>(a) + static_cast<uint32_t>(b); }
};
inline Operands OperandsOf(uint64_t i) {
  const uint64_t mixed = (i + 1) * 0x9e3779b97f4a7c15ull;
  return {static_cast<int32_t>(mixed), static_cast<int32_t>(mixed >> 32)};
}

inline void Relax() { __builtin_ia32_pause(); }

// Lets time go by without giving the processor away, so that its own state is the same in every measurement.
inline void SpinFor(std::chrono::nanoseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) Relax();
}

// The time of a round, and of one request in `every` by itself: 16, so that reading the clock does not weigh
// on rounds of requests that take a fraction of a microsecond.
class Stopwatch {
 public:
  static constexpr uint64_t kEvery = 16;
  explicit Stopwatch(base::Histogram* latency_ns, uint64_t every = kEvery)
      : latency_ns_(latency_ns), every_(every) {}

  void Start() { begin_ = std::chrono::steady_clock::now(); }
  double NsSince(uint64_t requests) const {
    const std::chrono::duration<double, std::nano> gone = std::chrono::steady_clock::now() - begin_;
    return gone.count() / static_cast<double>(requests);
  }
  void Sent(uint64_t i) {
    if (i % every_ == 0) sent_ = ticks_.Now();
  }
  void Answered(uint64_t i) {
    if (i % every_ == 0) latency_ns_->Record(ticks_.Ns(ticks_.Now() - sent_));
  }

 private:
  base::Histogram* const latency_ns_;
  const uint64_t every_;
  const base::Ticks ticks_;
  std::chrono::steady_clock::time_point begin_;
  uint64_t sent_ = 0;
};

// A round of requests one at a time, after a warm-up. ask(i) sends request i, takes its answer, and says
// whether it is right.
template <class Ask>
Round RunOneByOne(uint64_t count, base::Histogram* latency_ns, Ask ask, uint64_t every = Stopwatch::kEvery) {
  Stopwatch watch(latency_ns, every);
  uint64_t wrong = 0;
  for (uint64_t i = count; i < WithWarmUp(count); ++i) wrong += !ask(i - count);
  watch.Start();
  for (uint64_t i = 0; i < count; ++i) {
    watch.Sent(i);
    wrong += !ask(i);
    watch.Answered(i);
  }
  return {watch.NsSince(count), wrong};
}

// When the next request is made: one of these.
struct Pace {
  // A random time after the last answer; this side computes meanwhile.
  std::chrono::nanoseconds think_min{0}, think_max{0};
  // Open loop: request i is due i periods after the first, however late answers are.
  std::chrono::nanoseconds period{0};
};

// A round at a pace, after a warm-up at the same pace. Every request is timed, from when it was due: what a
// late answer does to the next request counts.
template <class Ask>
Round RunPaced(uint64_t count, const Pace& pace, base::Histogram* latency_ns, Ask ask) {
  using Clock = std::chrono::steady_clock;
  constexpr uint64_t kSeed = 1;
  std::mt19937_64 random(kSeed);
  std::uniform_int_distribution<int64_t> think(pace.think_min.count(), pace.think_max.count());
  const uint64_t warm_up = WithWarmUp(count) - count;
  uint64_t wrong = 0;
  std::chrono::nanoseconds total{0};
  Clock::time_point due = Clock::now();
  for (uint64_t i = 0; i < warm_up + count; ++i) {
    due =
        pace.period.count() != 0 ? due + pace.period : Clock::now() + std::chrono::nanoseconds(think(random));
    while (Clock::now() < due) Relax();
    wrong += !ask(i);
    if (i < warm_up) continue;
    const std::chrono::nanoseconds took = Clock::now() - due;
    latency_ns->Record(static_cast<uint64_t>(took.count()));
    total += took;
  }
  return {static_cast<double>(total.count()) / static_cast<double>(count), wrong};
}

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_CONTEST_H_
