// SPDX-License-Identifier: Apache-2.0
// Loads that this process puts on a mediator as a guest. Every answer is verified.
#ifndef VGPU_BENCH_SUBJECTS_OURS_LOAD_H_
#define VGPU_BENCH_SUBJECTS_OURS_LOAD_H_

#include <chrono>
#include <cstdint>
#include <random>

#include "api/codes.h"
#include "bench/lib/contest.h"
#include "guest/client.h"

namespace vgpu::bench {

struct Answers {
  uint64_t count = 0;
  uint64_t wrong = 0;
  Answers& operator+=(const Answers& more) {
    count += more.count;
    wrong += more.wrong;
    return *this;
  }
};

// How long a load waits for an answer before the measurement fails.
inline constexpr std::chrono::seconds kAnswerMax{20};

// Request `i` of any load (OperandsOf): staged; and whether this is its answer.
inline uint32_t SendAdd(guest::Client& client, uint64_t i) {
  const Operands operands = OperandsOf(i);
  return client.Add(operands.a, operands.b);
}
inline bool IsRight(const guest::Answer& answer, uint64_t i) {
  return answer.code == VGPU_OK && answer.data == OperandsOf(i).sum();
}
// No answer at all is no measurement: throws.
guest::Answer Await(guest::Client& client, uint32_t idx, guest::TimePoint deadline);

// One request after the other.
Answers AskOneByOne(guest::Client& client, uint64_t count);

// `depth` outstanding, and never fewer until the last.
Answers AskDeep(guest::Client& client, uint64_t count, uint32_t depth);

// The same, but takes all the answers that are there and then sends as many requests at once.
Answers AskInRuns(guest::Client& client, uint64_t count, uint32_t depth);

// Single requests at random times, `rate` a second on average, for so long (an open Poisson process: a late
// answer delays no other request's due time). This process sleeps in between.
Answers AskAtRandom(guest::Client& client, double rate, std::chrono::nanoseconds time,
                    std::mt19937_64* random);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_LOAD_H_
