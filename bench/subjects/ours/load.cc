// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/load.h"

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "bench/lib/contest.h"

namespace vgpu::bench {
namespace {

using guest::Answer;
using guest::Client;
using std::chrono::nanoseconds;

}  // namespace

Answer Await(Client& client, uint32_t idx, guest::TimePoint deadline) {
  auto answer = client.Wait(idx, deadline);
  if (!answer) throw std::runtime_error(answer.error().text);
  return *answer;
}

Answers AskOneByOne(Client& client, uint64_t count) {
  const auto deadline = guest::Clock::now() + kAnswerMax;
  Answers answers{count, 0};
  for (uint64_t i = 0; i < count; ++i)
    answers.wrong += !IsRight(Await(client, SendAdd(client, i), deadline), i);
  return answers;
}

Answers AskDeep(Client& client, uint64_t count, uint32_t depth) {
  const auto deadline = guest::Clock::now() + kAnswerMax;
  const uint32_t first_idx = client.producer().prod();
  Answers answers{count, 0};
  uint64_t sent = 0;
  for (uint64_t got = 0; got < count; ++got) {
    while (sent < count && sent - got < depth) SendAdd(client, sent++);
    answers.wrong += !IsRight(Await(client, first_idx + static_cast<uint32_t>(got), deadline), got);
  }
  return answers;
}

Answers AskInRuns(Client& client, uint64_t count, uint32_t depth) {
  const auto deadline = guest::Clock::now() + kAnswerMax;
  const uint32_t first_idx = client.producer().prod();
  std::vector<Answer> run(depth);
  Answers answers{count, 0};
  uint64_t sent = 0;
  for (uint64_t got = 0; got < count;) {
    while (sent < count && sent - got < depth) SendAdd(client, sent++);
    const uint32_t idx = first_idx + static_cast<uint32_t>(got);
    run[0] = Await(client, idx, deadline);
    const auto others = static_cast<uint32_t>(sent - got - 1);
    const uint32_t taken = 1 + client.PollRun(idx + 1, others, run.data() + 1);
    for (uint32_t i = 0; i < taken; ++i) answers.wrong += !IsRight(run[i], got++);
  }
  return answers;
}

Answers AskAtRandom(Client& client, double rate, nanoseconds time, std::mt19937_64* random) {
  std::exponential_distribution<double> gap_s(rate);
  const auto begin = guest::Clock::now();
  const auto deadline = begin + time + kAnswerMax;
  Answers answers;
  auto due = begin;
  for (;;) {
    due += nanoseconds(static_cast<int64_t>(gap_s(*random) * 1e9));
    if (due > begin + time) return answers;
    std::this_thread::sleep_until(due);
    const uint64_t i = answers.count++;
    answers.wrong += !IsRight(Await(client, SendAdd(client, i), deadline), i);
  }
}

}  // namespace vgpu::bench
