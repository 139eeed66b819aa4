// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/vector_way.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/histogram_json.h"
#include "base/ticks.h"

namespace vgpu::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kStepA = 0x9e3779b1;  // odd: neighbours differ in all bytes
constexpr uint32_t kStepB = 0x85ebca77;

// Of one request: cheap to make, since a guest may be emulated,
// and different from any other's at every place.
struct Operands {
  explicit Operands(uint64_t serial)
      : a(static_cast<uint32_t>(serial * 0x9e3779b97f4a7c15ull >> 32)),
        b(static_cast<uint32_t>(serial * 0xc2b2ae3d27d4eb4full >> 32)) {}

  void Put(const VectorMemory& memory) const {
    for (uint64_t i = 0; i < memory.count; ++i) {
      memory.a[i] = a + static_cast<uint32_t>(i) * kStepA;
      memory.b[i] = b + static_cast<uint32_t>(i) * kStepB;
    }
  }
  // Computed again: neither side's memory is believed.
  bool Matches(const VectorMemory& memory) const {
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < memory.count; ++i)
      wrong += memory.c[i] != a + b + static_cast<uint32_t>(i) * (kStepA + kStepB);
    return wrong == 0;
  }

  uint32_t a;
  uint32_t b;
};

}  // namespace

VectorMemory VectorWay::Memory(uint64_t count) {
  memory_.resize(3 * count);
  return {memory_.data(), memory_.data() + count, memory_.data() + 2 * count, count};
}

RunResult RunVectors(VectorWay& way, const VectorRun& run) {
  const VectorMemory memory = way.Memory(std::max<uint64_t>(1, run.elements));
  const base::Ticks ticks;
  RunResult result;
  const auto begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  for (uint64_t i = 0; i < run.warm_up + run.count; ++i) {
    const Operands operands(run.seed + i + 1);
    operands.Put(memory);
    way.Before();
    const uint64_t sent = ticks.Now();
    way.Add(memory);
    const uint64_t took_ns = ticks.Ns(ticks.Now() - sent);
    result.wrong += !operands.Matches(memory);
    if (i >= run.warm_up) result.latency_ns.Record(took_ns);
    way.After();
    if (run.seconds_max > 0 && seconds() >= run.seconds_max) break;
  }
  result.seconds = seconds();
  return result;
}

std::string OptionsOf(const VectorRun& run) {
  std::string text = fmt::format("--count {} --warm-up {} --seed {}", run.count, run.warm_up, run.seed);
  if (run.elements != 0) text += fmt::format(" --elements {}", run.elements);
  if (run.seconds_max > 0) text += fmt::format(" --seconds {}", run.seconds_max);
  return text;
}

nlohmann::json ToJson(const RunResult& result) {
  return {{"count", result.latency_ns.count()},
          {"wrong", result.wrong},
          {"seconds", result.seconds},
          {"latency", base::LatencyJson(result.latency_ns)}};
}

}  // namespace vgpu::bench
