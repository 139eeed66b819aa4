// SPDX-License-Identifier: Apache-2.0
#include "bench/ours.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace vgpu::bench {
namespace {

using guest::Answer;
using guest::Client;

constexpr std::chrono::seconds kPatience{20};

bool Right(const Answer& answer, uint64_t i) { return answer.code == VGPU_OK && answer.data == OperandsOf(i).sum(); }

uint32_t Send(Client& client, uint64_t i) {
  const Operands operands = OperandsOf(i);
  return client.Add(operands.a, operands.b);
}

// No answer at all is no measurement.
Answer Await(Client& client, uint32_t idx, guest::TimePoint deadline) {
  auto answer = client.Wait(idx, deadline);
  if (!answer) throw std::runtime_error(answer.error().text);
  return *answer;
}

class Ours : public Contestant {
 public:
  Ours(pid_t mediator, std::unique_ptr<Client> client) : mediator_(mediator), client_(std::move(client)) {}
  pid_t server() const override { return mediator_; }

 protected:
  Client& client() { return *client_; }

 private:
  const pid_t mediator_;
  const std::unique_ptr<Client> client_;
};

class OursDepth1 final : public Ours {
 public:
  using Ours::Ours;
  std::string name() const override { return "vgpu-ring"; }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kPatience;
    return RunOneByOne(count, latency_ns, [&](uint64_t i) {
      return Right(Await(client(), Send(client(), i), deadline), i);
    });
  }
};

class OursDeep final : public Ours {
 public:
  OursDeep(pid_t mediator, std::unique_ptr<Client> client, uint32_t depth, uint32_t batch)
      : Ours(mediator, std::move(client)), depth_(depth), batch_(batch), answers_(batch) {}
  std::string name() const override { return fmt::format("vgpu-ring, batch {}", batch_); }

  Round Run(uint64_t count, base::Histogram*) override {
    uint64_t wrong = Ask(kWarmUp);
    Stopwatch watch(nullptr);
    watch.Start();
    wrong += Ask(count);
    return {watch.NsSince(count), wrong};
  }

 private:
  // Returns how many answers were wrong.
  uint64_t Ask(uint64_t count) {
    uint64_t sent = 0;
    uint64_t got = 0;
    uint64_t wrong = 0;
    const uint32_t first_idx = client().producer().prod();
    const auto give_up = guest::Clock::now() + kPatience;
    while (got < count) {
      const uint64_t room = std::min<uint64_t>(depth_ - (sent - got), count - sent);
      if (room >= batch_ || (room > 0 && room == count - sent)) {
        for (uint64_t n = std::min<uint64_t>(room, batch_); n > 0; --n) Send(client(), sent++);
        client().Flush();
      }
      const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(batch_, sent - got));
      const uint32_t taken = client().PollRun(first_idx + static_cast<uint32_t>(got), wanted, answers_.data());
      for (uint32_t i = 0; i < taken; ++i) wrong += !Right(answers_[i], got++);
      if (taken != 0) continue;
      client().Relax();
      if (++idle_ % (1 << 20) == 0 && guest::Clock::now() > give_up) throw std::runtime_error("no answer");
    }
    return wrong;
  }

  const uint32_t depth_;
  const uint32_t batch_;
  std::vector<Answer> answers_;
  uint64_t idle_ = 0;
};

class OursAsleep final : public Ours {
 public:
  OursAsleep(pid_t mediator, std::unique_ptr<Client> client, std::chrono::nanoseconds pause)
      : Ours(mediator, std::move(client)), pause_(pause) {}
  std::string name() const override { return "vgpu-ring"; }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kPatience;
    const base::Ticks ticks;
    uint64_t wrong = 0;
    uint64_t total_ns = 0;
    for (uint64_t i = 0; i < count; ++i) {
      SpinFor(pause_);
      const uint64_t begin = ticks.Now();
      const uint32_t idx = Send(client(), i);
      client().Flush();
      Answer answer;
      while (!client().Poll(idx, &answer)) {
        client().Relax();
        if (guest::Clock::now() > deadline) throw std::runtime_error("no answer");
      }
      const uint64_t took_ns = ticks.Ns(ticks.Now() - begin);
      latency_ns->Record(took_ns);
      total_ns += took_ns;
      wrong += !Right(answer, i);
    }
    return {static_cast<double>(total_ns) / static_cast<double>(count), wrong};
  }

 private:
  const std::chrono::nanoseconds pause_;
};

template <class T, class... Args>
Result<std::unique_ptr<Contestant>> Make(const MediatorProcess& mediator, Args... args) {
  static uint32_t next_vm_id = 1000;
  guest::HostOptions options;
  options.vm_id = next_vm_id++;
  options.region_bytes = 1 << 20;
  auto client = OpenGuest(mediator, options);
  if (!client) return tl::make_unexpected(client.error());
  return std::make_unique<T>(mediator.pid(), std::move(*client), args...);
}

}  // namespace

Result<std::unique_ptr<Contestant>> MakeOursDepth1(const MediatorProcess& mediator) {
  return Make<OursDepth1>(mediator);
}

Result<std::unique_ptr<Contestant>> MakeOursDeep(const MediatorProcess& mediator, uint32_t depth, uint32_t batch) {
  return Make<OursDeep>(mediator, depth, batch);
}

Result<std::unique_ptr<Contestant>> MakeOursAsleep(const MediatorProcess& mediator, std::chrono::nanoseconds pause) {
  return Make<OursAsleep>(mediator, pause);
}

}  // namespace vgpu::bench
