// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/ours.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <vector>

#include "api/codes.h"
#include "bench/lib/payload.h"
#include "bench/subjects/ours/load.h"
#include "bench/subjects/ours/vector_requests.h"

namespace vgpu::bench {
namespace {

using guest::Answer;
using guest::Client;

constexpr uint64_t kRegionBytes = 1 << 20;
constexpr uint32_t kPriority = 1;

class Ours : public Contestant {
 public:
  Ours(pid_t mediator, std::shared_ptr<Client> client, Asker asker)
      : mediator_(mediator), client_(std::move(client)), asker_(std::move(asker)) {}
  std::string name() const override { return asker_.label; }
  pid_t server() const override { return mediator_; }
  Usage usage() const override { return UsageWithChildren(mediator_); }

 protected:
  Client& client() { return *client_; }
  const Asker& asker() const { return asker_; }

 private:
  const pid_t mediator_;
  const std::shared_ptr<Client> client_;
  const Asker asker_;
};

class OursDepth1 final : public Ours {
 public:
  using Ours::Ours;

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kAnswerMax;
    const auto ask = [&](uint64_t i) { return IsRight(Await(client(), SendAdd(client(), i), deadline), i); };
    if (asker().pace) return RunPaced(count, *asker().pace, latency_ns, ask);
    return RunOneByOne(count, latency_ns, ask, asker().timed_every);
  }
};

class OursVector final : public Ours {
 public:
  OursVector(pid_t mediator, std::unique_ptr<Client> client, const Asker& asker, uint64_t bytes)
      : Ours(mediator, std::move(client), asker), vectors_(VectorsIn(this->client(), bytes)) {}

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kAnswerMax;
    const auto ask = [&](uint64_t) {
      vectors_.Prepare();
      const Answer answer = Await(client(), SendVectorAdd(client(), vectors_), deadline);
      return answer.code == VGPU_OK && vectors_.SamplesRight();
    };
    Round round = RunOneByOne(count, latency_ns, ask, asker().timed_every);
    round.wrong += !vectors_.AllRight();
    return round;
  }

 private:
  Vectors vectors_;
};

// The smallest payload, in the slot: two numbers there and their sum back, each ADD timed by itself.
class OursSmallPayload final : public Ours {
 public:
  OursSmallPayload(pid_t mediator, std::unique_ptr<Client> client) : Ours(mediator, std::move(client), {}) {}

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kAnswerMax;
    uint64_t i = 0;
    Answer answer;
    const auto ask = [&] {
      answer = Await(client(), SendAdd(client(), i), deadline);
      return true;
    };
    return RunEachTimed(
        count, latency_ns, [] {}, ask, [&] { return IsRight(answer, i++); });
  }
};

// A payload in the arena: a VECTOR_ADD of it and itself, or only a NOP beside it.
class OursPayload final : public Ours {
 public:
  OursPayload(pid_t mediator, std::shared_ptr<Client> client, const Vectors& vectors, bool nop)
      : Ours(mediator, std::move(client), {}),
        nop_(nop),
        vectors_(vectors),
        payloads_(vectors.count() * sizeof(uint32_t)) {}
  std::string name() const override { return nop_ ? "vgpu-ring, NOP beside a payload" : Ours::name(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kAnswerMax;
    const auto ask = [&] { return Await(client(), Send(), deadline).code == VGPU_OK; };
    const auto after = [this] { return nop_ || payloads_.IsDoubled(vectors_.c()); };
    return RunEachTimed(
        count, latency_ns, [this] { payloads_.WriteNext(vectors_.a()); }, ask, after);
  }

 private:
  uint32_t Send() { return nop_ ? client().Nop() : SendDoubling(client(), vectors_); }

  const bool nop_;
  const Vectors vectors_;
  Payloads payloads_;
};

class OursDeep final : public Ours {
 public:
  OursDeep(pid_t mediator, std::unique_ptr<Client> client, uint32_t depth, uint32_t batch)
      : Ours(mediator, std::move(client), {}), depth_(depth), batch_(batch), answers_(batch) {}
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
    const auto give_up = guest::Clock::now() + kAnswerMax;
    while (got < count) {
      const uint64_t room = std::min<uint64_t>(depth_ - (sent - got), count - sent);
      if (room >= batch_ || (room > 0 && room == count - sent)) {
        for (uint64_t n = std::min<uint64_t>(room, batch_); n > 0; --n) SendAdd(client(), sent++);
        client().Flush();
      }
      const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(batch_, sent - got));
      const uint32_t taken =
          client().PollRun(first_idx + static_cast<uint32_t>(got), wanted, answers_.data());
      for (uint32_t i = 0; i < taken; ++i) wrong += !IsRight(answers_[i], got++);
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
      : Ours(mediator, std::move(client), {}), pause_(pause) {}

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kAnswerMax;
    const base::Ticks ticks;
    uint64_t wrong = 0;
    uint64_t total_ns = 0;
    for (uint64_t i = 0; i < count; ++i) {
      SpinFor(pause_);
      const uint64_t begin = ticks.Now();
      const uint32_t idx = SendAdd(client(), i);
      client().Flush();
      Answer answer;
      while (!client().Poll(idx, &answer)) {
        client().Relax();
        if (guest::Clock::now() > deadline) throw std::runtime_error("no answer");
      }
      const uint64_t took_ns = ticks.Ns(ticks.Now() - begin);
      latency_ns->Record(took_ns);
      total_ns += took_ns;
      wrong += !IsRight(answer, i);
    }
    return {static_cast<double>(total_ns) / static_cast<double>(count), wrong};
  }

 private:
  const std::chrono::nanoseconds pause_;
};

class OursBothAsleep final : public Ours {
 public:
  OursBothAsleep(pid_t mediator, std::unique_ptr<Client> client) : Ours(mediator, std::move(client), {}) {}
  std::string name() const override { return "vgpu-ring, both asleep"; }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const auto deadline = guest::Clock::now() + kAnswerMax;
    return RunOneByOne(
        count, latency_ns, [&](uint64_t i) { return IsRight(Ask(i, deadline), i); }, 1);
  }

 private:
  Answer Ask(uint64_t i, guest::TimePoint deadline) {
    const uint32_t idx = SendAdd(client(), i);
    client().Flush();
    Answer answer;
    for (;;) {
      if (client().producer().ArmCall()) {
        client().transport().SleepUntilCall(client().ring_idx(), deadline);
        client().producer().DisarmCall();
      }
      if (client().Poll(idx, &answer)) return answer;
      if (guest::Clock::now() > deadline) throw std::runtime_error("no answer");
    }
  }
};

uint32_t NextVmId() {
  static uint32_t next = 1000;
  return next++;
}

Result<std::unique_ptr<Client>> Open(const MediatorProcess& mediator, uint64_t region_bytes,
                                     uint32_t priority) {
  guest::HostOptions options;
  options.vm_id = NextVmId();
  options.priority = priority;
  options.region_bytes = region_bytes;
  return OpenGuest(mediator, options);
}

template <class T, class... Args>
Result<std::unique_ptr<Contestant>> Make(const MediatorProcess& mediator, uint64_t region_bytes,
                                         uint32_t priority, Args... args) {
  auto client = Open(mediator, region_bytes, priority);
  if (!client) return tl::make_unexpected(client.error());
  return std::make_unique<T>(mediator.pid(), std::move(*client), args...);
}

}  // namespace

Result<std::unique_ptr<Contestant>> MakeOursDepth1(const MediatorProcess& mediator, const Asker& asker) {
  return Make<OursDepth1>(mediator, kRegionBytes, asker.priority, asker);
}

Result<std::unique_ptr<Contestant>> MakeOursVector(const MediatorProcess& mediator, uint64_t bytes,
                                                   const Asker& asker) {
  return Make<OursVector>(mediator, RegionFor({bytes}), asker.priority, asker, bytes);
}

Result<std::unique_ptr<Contestant>> MakeOursPayload(const MediatorProcess& mediator, uint64_t bytes) {
  if (bytes == sizeof(Operands)) return Make<OursSmallPayload>(mediator, kRegionBytes, kPriority);
  PayloadPlace place;
  auto both = MakeOursBesidePayload(mediator, bytes, &place);
  if (!both) return tl::make_unexpected(both.error());
  return std::move(both->back());
}

Result<Contestants> MakeOursBesidePayload(const MediatorProcess& mediator, uint64_t bytes,
                                          PayloadPlace* place) {
  auto opened = Open(mediator, RegionFor({bytes}), kPriority);
  if (!opened) return tl::make_unexpected(opened.error());
  const std::shared_ptr<Client> client = std::move(*opened);
  const Vectors vectors = VectorsIn(*client, bytes);
  *place = {vectors.a(), vectors.c(), bytes};
  Contestants both;
  for (const bool nop : {true, false})
    both.push_back(std::make_unique<OursPayload>(mediator.pid(), client, vectors, nop));
  return both;
}

Result<std::unique_ptr<Contestant>> MakeOursDeep(const MediatorProcess& mediator, uint32_t depth,
                                                 uint32_t batch) {
  guest::HostOptions options;
  options.vm_id = NextVmId();
  options.priority = kPriority;
  options.entries = std::max<uint32_t>(VGPU_ENTRIES_DEFAULT, std::bit_ceil(depth));
  options.region_bytes = kRegionBytes * (options.entries / VGPU_ENTRIES_DEFAULT);
  auto client = OpenGuest(mediator, options);
  if (!client) return tl::make_unexpected(client.error());
  return std::make_unique<OursDeep>(mediator.pid(), std::move(*client), depth, batch);
}

std::unique_ptr<Contestant> MakeOursFastestDeep(const MediatorProcess& mediator, uint32_t depth,
                                                const std::vector<uint32_t>& batches, uint64_t count,
                                                nlohmann::json* tried, size_t places) {
  std::vector<Maker> variants;
  for (const uint32_t batch : batches) {
    variants.emplace_back(
        [&mediator, depth, batch] { return OrThrow(MakeOursDeep(mediator, depth, batch)); });
  }
  return Fastest(variants, count, tried, places);
}

Result<std::unique_ptr<Contestant>> MakeOursBothAsleep(const MediatorProcess& mediator) {
  return Make<OursBothAsleep>(mediator, kRegionBytes, kPriority);
}

Result<std::unique_ptr<Contestant>> MakeOursAsleep(const MediatorProcess& mediator,
                                                   std::chrono::nanoseconds pause) {
  return Make<OursAsleep>(mediator, kRegionBytes, kPriority, pause);
}

}  // namespace vgpu::bench
