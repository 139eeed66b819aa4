// SPDX-License-Identifier: Apache-2.0
// Payloads of i32 that go there and come back doubled, each request's another; and how they are timed: from
// the moment that a payload is written to the moment that its result is there to be read. To write it and to
// verify all of its result is not in that time, for nobody; nor is, then, that the lines of a result in
// shared memory have yet to come over when they are read.
#ifndef VGPU_BENCH_LIB_PAYLOAD_H_
#define VGPU_BENCH_LIB_PAYLOAD_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/histogram.h"
#include "base/ticks.h"
#include "bench/lib/contest.h"

namespace vgpu::bench {

inline constexpr uint64_t kPayloadBytesMax = 64 << 10;
struct alignas(4096) PayloadBuffer : std::array<uint32_t, kPayloadBytesMax / sizeof(uint32_t)> {};

// Where a payload and its result lie, in memory that processes forked from now on share.
struct PayloadPlace {
  uint32_t* payload = nullptr;
  uint32_t* result = nullptr;
  uint64_t bytes = 0;
};

// The server's work: one pass, by the mediator's own loop (a VECTOR_ADD of the payload and itself). `result`
// may be `payload`.
void DoublePayload(const uint32_t* payload, uint32_t* result, uint64_t bytes);

// What the client writes, and expects back.
class Payloads {
 public:
  explicit Payloads(uint64_t bytes) : count_(bytes / sizeof(uint32_t)) {}

  // Every element is another one than before.
  void WriteNext(uint32_t* payload);
  // Is this, all of it, what was last written, doubled?
  bool IsDoubled(const uint32_t* result) const;

 private:
  uint32_t Element(uint64_t i) const { return serial_ * 0x9e3779b9u + static_cast<uint32_t>(i); }

  const uint64_t count_;
  uint32_t serial_ = 0;
};

// A round of requests one at a time, each timed by itself, after a warm-up: before(), then, timed, ask(),
// then after(). The latter two say whether all was right.
template <class Before, class Ask, class After>
Round RunEachTimed(uint64_t count, base::Histogram* latency_ns, Before before, Ask ask, After after) {
  const base::Ticks ticks;
  uint64_t wrong = 0;
  uint64_t total_ns = 0;
  const uint64_t warm_up = WithWarmUp(count) - count;
  for (uint64_t i = 0; i < WithWarmUp(count); ++i) {
    before();
    const uint64_t begin = ticks.Now();
    const bool answered = ask();
    const uint64_t took_ns = ticks.Ns(ticks.Now() - begin);
    wrong += !(answered && after());
    if (i < warm_up) continue;
    latency_ns->Record(took_ns);
    total_ns += took_ns;
  }
  return {static_cast<double>(total_ns) / static_cast<double>(count), wrong};
}

// The same of payloads whose place does not change: ask() brings the doubled payload to `result`.
template <class Ask>
Round RunPayloads(uint64_t count, base::Histogram* latency_ns, uint64_t bytes, uint32_t* payload,
                  const uint32_t* result, Ask ask) {
  Payloads payloads(bytes);
  return RunEachTimed(
      count, latency_ns, [&] { payloads.WriteNext(payload); }, ask,
      [&] { return payloads.IsDoubled(result); });
}

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_PAYLOAD_H_
