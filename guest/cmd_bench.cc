// SPDX-License-Identifier: Apache-2.0
// The command `bench`: a quick look at what this ring gives. The real benchmarks, with their rivals, are in
// //bench.
#include <fmt/format.h>

#include <algorithm>

#include "base/histogram_json.h"
#include "base/json_text.h"
#include "guest/cli.h"
#include "guest/ping.h"
#include "guest/vadd.h"

namespace vgpu::guest {
namespace {

constexpr uint64_t kWarmUp = 1'000;
constexpr uint64_t kRequests = 100'000;
constexpr uint64_t kElements = 1u << 18;

struct Bench {
  PingResult shallow;
  PingResult deep;
  uint32_t depth = 0;
  VaddResult vectors;
};

Result<Bench> Measure(Client& client, const Options& options, uint64_t seed) {
  Bench bench;
  bench.depth = std::min<uint32_t>(64, client.entries());
  const PingPlan warm_up = {kWarmUp, 1, {}, options.timeout(), seed, {}};
  const PingPlan shallow = {kRequests, 1, {}, options.timeout(), seed, {}};
  const PingPlan deep = {kRequests, bench.depth, {}, options.timeout(), seed, {}};
  const VaddPlan vectors = {kElements, VGPU_TYPE_F32, false, options.timeout(), seed};
  auto ran = Ping(client, warm_up)
                 .and_then([&](const PingResult&) { return Ping(client, shallow); })
                 .and_then([&](const PingResult& result) {
                   bench.shallow = result;
                   return Ping(client, deep);
                 })
                 .and_then([&](const PingResult& result) {
                   bench.deep = result;
                   return Vadd(client, vectors);
                 });
  if (!ran) return tl::make_unexpected(ran.error());
  bench.vectors = *ran;
  return bench;
}

}  // namespace

int RunBench(const Options& options) {
  auto client = OpenClient(options);
  if (!client) return Report(options, client.error());
  const uint64_t seed = SeedOf(std::nullopt);
  auto bench = Measure(**client, options, seed);
  if (!bench) return Report(options, bench.error());

  const double seconds = std::chrono::duration<double>(bench->vectors.waited).count();
  const double elements_per_s = static_cast<double>(kElements) / seconds;
  const uint64_t wrong = bench->shallow.wrong + bench->deep.wrong + bench->vectors.wrong;
  if (options.json) {
    const nlohmann::json json = {
        {"add_depth_1",
         {{"rate", bench->shallow.rate()}, {"latency", base::LatencyJson(bench->shallow.latency_ns)}}},
        {"add_deep",
         {{"depth", bench->depth},
          {"rate", bench->deep.rate()},
          {"latency", base::LatencyJson(bench->deep.latency_ns)}}},
        {"vector_add_f32", {{"elements", kElements}, {"elements_per_s", elements_per_s}}},
        {"wrong", wrong},
        {"seed", seed}};
    fmt::print("{}\n", base::JsonText(json));
  } else {
    fmt::print("add, depth 1     {:>12.0f} /s   {}\n", bench->shallow.rate(),
               LatencyText(bench->shallow.latency_ns));
    fmt::print("add, depth {:<5} {:>12.0f} /s   {}\n", bench->depth, bench->deep.rate(),
               LatencyText(bench->deep.latency_ns));
    fmt::print("vector add, f32  {:>12.0f} elements/s, {} elements in {} requests\n", elements_per_s,
               kElements, bench->vectors.requests);
    fmt::print("{} wrong, seed {}\n", wrong, seed);
  }
  return wrong == 0 ? kExitOk : kExitFailed;
}

}  // namespace vgpu::guest
