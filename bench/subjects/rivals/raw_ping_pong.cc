// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstring>

#include "bench/lib/payload.h"
#include "bench/lib/rival_server.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

struct Lines {
  alignas(128) std::atomic<uint64_t> ping{0};
  alignas(128) std::atomic<uint64_t> pong{0};
};

void Await(const std::atomic<uint64_t>& word, uint64_t value, Polling polling) {
  while (word.load(std::memory_order_acquire) != value) Rest(polling);
}

class RawPingPong final : public Contestant {
 public:
  explicit RawPingPong(Polling polling)
      : polling_(polling), server_([this](uint64_t count) {
          for (uint64_t i = 0; i < count; ++i) {
            Await(lines_->ping, ++serial_, polling_);
            lines_->pong.store(serial_, std::memory_order_release);
          }
        }) {}

  std::string name() const override { return std::string("raw ping-pong") + PollingName(polling_); }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(WithWarmUp(count));
    return RunOneByOne(count, latency_ns, [this](uint64_t) {
      Ping();
      return true;
    });
  }

 private:
  void Ping() {
    lines_->ping.store(++serial_, std::memory_order_release);
    Await(lines_->pong, serial_, polling_);
  }

  const Polling polling_;
  uint64_t serial_ = 0;  // each process has its own, and counts the same
  Shared<Lines> lines_;
  RivalServer server_;
};

// Pings beside a payload; the server leaves it alone or copies it, as the round says.
class PingsBesidePayload {
 public:
  PingsBesidePayload(const PayloadPlace& place, Polling polling)
      : place_(place), polling_(polling), server_([this](uint64_t count) {
          for (uint64_t i = 0; i < count; ++i) {
            Await(shared_->lines.ping, ++serial_, polling_);
            if (shared_->copy) std::memcpy(place_.result, place_.payload, place_.bytes);
            shared_->lines.pong.store(serial_, std::memory_order_release);
          }
        }) {}

  Polling polling() const { return polling_; }
  pid_t server() const { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns, bool copy) {
    shared_->copy = copy;
    server_.Begin(WithWarmUp(count));
    Payloads payloads(place_.bytes);
    const auto ask = [this] {
      shared_->lines.ping.store(++serial_, std::memory_order_release);
      Await(shared_->lines.pong, serial_, polling_);
      return true;
    };
    const auto right = [&] { return !copy || std::memcmp(place_.payload, place_.result, place_.bytes) == 0; };
    return RunEachTimed(
        count, latency_ns, [&] { payloads.WriteNext(place_.payload); }, ask, right);
  }

 private:
  struct Memory {
    Lines lines;
    bool copy = false;
  };

  const PayloadPlace place_;
  const Polling polling_;
  uint64_t serial_ = 0;  // each process has its own, and counts the same
  Shared<Memory> shared_;
  RivalServer server_;
};

class RawBesidePayload final : public Contestant {
 public:
  RawBesidePayload(std::shared_ptr<PingsBesidePayload> pings, bool copy)
      : pings_(std::move(pings)), copy_(copy) {}

  std::string name() const override {
    return std::string("raw ping-pong") + (copy_ ? " with a memcpy" : " beside a payload") +
           PollingName(pings_->polling());
  }
  pid_t server() const override { return pings_->server(); }
  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    return pings_->Run(count, latency_ns, copy_);
  }

 private:
  const std::shared_ptr<PingsBesidePayload> pings_;
  const bool copy_;
};

}  // namespace

const char* PollingName(Polling polling) { return polling == Polling::kRelaxed ? ", relaxed" : ", eager"; }

std::unique_ptr<Contestant> MakeRawPingPong(Polling polling) {
  return std::make_unique<RawPingPong>(polling);
}

Contestants MakeRawsBesidePayload(const PayloadPlace& place, Polling polling) {
  const auto pings = std::make_shared<PingsBesidePayload>(place, polling);
  Contestants both;
  for (const bool copy : {false, true}) both.push_back(std::make_unique<RawBesidePayload>(pings, copy));
  return both;
}

}  // namespace vgpu::bench
