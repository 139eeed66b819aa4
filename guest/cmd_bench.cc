// SPDX-License-Identifier: Apache-2.0
// The command `bench`: a quick look at what this ring gives. The real benchmarks,
// with their rivals, are in //bench.
#include <algorithm>

#include "api/vector.h"
#include "base/histogram_json.h"
#include "base/json_text.h"
#include "guest/cli.h"
#include "guest/interrupt.h"
#include "guest/ping.h"
#include "guest/progress.h"
#include "guest/vadd.h"

namespace vgpu::guest {
namespace {

constexpr uint64_t kWarmUp = 1'000;
constexpr uint64_t kRequests = 100'000;
constexpr uint64_t kElements = 1u << 18;

// Parts that an interruption or an error came before are not there.
struct Bench {
  std::optional<PingResult> shallow;
  std::optional<PingResult> deep;
  uint32_t depth = 0;
  std::optional<VaddResult> vectors;
  End end;

  uint64_t measured() const {
    return (shallow ? shallow->latency_ns.count() : 0) + (deep ? deep->latency_ns.count() : 0) +
           (vectors ? vectors->count : 0);
  }
  uint64_t wrong() const {
    return (shallow ? shallow->wrong : 0) + (deep ? deep->wrong : 0) + (vectors ? vectors->wrong : 0);
  }
};

class BenchRun {
 public:
  BenchRun(Client& client, const Options& options, uint64_t seed)
      : client_(client), timeout_(options.timeout()), seed_(seed) {
    bench_.depth = std::min<uint32_t>(64, client.entries());
  }

  Result<Bench> Run() {
    std::optional<PingResult> warm_up;
    auto ran = Add("warming up", kWarmUp, 1, &warm_up)
                   .and_then([&] { return Add("add, depth 1", kRequests, 1, &bench_.shallow); })
                   .and_then([&] { return Add("add, deep", kRequests, bench_.depth, &bench_.deep); })
                   .and_then([&] { return AddVectors(); });
    if (!ran && bench_.measured() == 0) return tl::make_unexpected(ran.error());
    if (!ran) bench_.end.error = ran.error();
    bench_.end.interrupted = ran && interrupt_.raised();
    return bench_;
  }

 private:
  static Result<void> OkUnless(const std::optional<Error>& error) {
    if (error) return tl::make_unexpected(*error);
    return {};
  }

  Result<void> Add(const char* what, uint64_t count, uint32_t depth, std::optional<PingResult>* result) {
    if (interrupt_.raised()) return {};
    progress_.set_what(what);
    auto ran =
        Ping(client_, {count, depth, {}, timeout_, seed_, {}, interrupt_.flag(), progress_.if_shown()});
    if (!ran) return tl::make_unexpected(ran.error());
    if (ran->latency_ns.count() > 0) *result = *ran;
    return OkUnless(ran->error);
  }

  Result<void> AddVectors() {
    if (interrupt_.raised()) return {};
    progress_.set_what("vector add, f32");
    auto ran = Vadd(
        client_, {kElements, VGPU_TYPE_F32, false, timeout_, seed_, interrupt_.flag(), progress_.if_shown()});
    if (!ran) return tl::make_unexpected(ran.error());
    if (ran->count > 0) bench_.vectors = *ran;
    return OkUnless(ran->error);
  }

  Client& client_;
  const std::chrono::nanoseconds timeout_;
  const uint64_t seed_;
  const Interrupt interrupt_;
  Progress progress_{"bench"};
  Bench bench_;
};

double ElementsPerS(const VaddResult& vectors) {
  return static_cast<double>(vectors.count) / std::chrono::duration<double>(vectors.waited).count();
}

nlohmann::json BenchJson(const Bench& bench, uint64_t seed) {
  nlohmann::json json = {{"wrong", bench.wrong()}, {"seed", seed}};
  bench.end.AddTo(&json);
  if (bench.shallow) {
    json["add_depth_1"] = {{"rate", bench.shallow->rate()},
                           {"latency", base::LatencyJson(bench.shallow->latency_ns)}};
  }
  if (bench.deep) {
    json["add_deep"] = {{"depth", bench.depth},
                        {"rate", bench.deep->rate()},
                        {"latency", base::LatencyJson(bench.deep->latency_ns)}};
  }
  if (bench.vectors) {
    json["vector_add_f32"] = {{"elements", bench.vectors->count},
                              {"elements_per_s", ElementsPerS(*bench.vectors)}};
  }
  return json;
}

void PrintBench(const Bench& bench, uint64_t seed) {
  if (bench.shallow) {
    cli::Print("add, depth 1     {:>12.0f} /s   {}\n", bench.shallow->rate(),
               LatencyText(bench.shallow->latency_ns));
  }
  if (bench.deep) {
    cli::Print("add, depth {:<5} {:>12.0f} /s   {}\n", bench.depth, bench.deep->rate(),
               LatencyText(bench.deep->latency_ns));
  }
  if (bench.vectors) {
    cli::Print("vector add, f32  {:>12.0f} elements/s, {} elements in {} requests\n",
               ElementsPerS(*bench.vectors), bench.vectors->count, bench.vectors->requests);
  }
  const std::string end = bench.end.text();
  cli::Print("{} wrong, seed {}{}\n", bench.wrong(), seed,
             end.empty() ? "" : end + ": the rest was not measured");
}

}  // namespace

int RunBench(const Options& options) {
  auto client = OpenClient(options);
  if (!client) return Report(options, client.error());
  const uint64_t seed = SeedOf(std::nullopt);
  auto bench = BenchRun(**client, options, seed).Run();
  if (!bench) return Report(options, bench.error());
  if (options.json) {
    cli::PrintJson(BenchJson(*bench, seed));
  } else {
    PrintBench(*bench, seed);
  }
  return Finish(bench->end, bench->measured(), bench->wrong());
}

}  // namespace vgpu::guest
