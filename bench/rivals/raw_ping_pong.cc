// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstring>

#include "bench/payload.h"
#include "bench/rivals/rival_server.h"
#include "bench/rivals/rivals.h"

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
    server_.Begin(kWarmUp + count);
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

class RawBesidePayload final : public Contestant {
 public:
  RawBesidePayload(uint64_t bytes, bool copy, Polling polling)
      : bytes_(bytes), copy_(copy), polling_(polling), server_([this](uint64_t count) {
          for (uint64_t i = 0; i < count; ++i) {
            Await(lines_->ping, ++serial_, polling_);
            if (copy_) std::memcpy(result_->data(), payload_->data(), bytes_);
            lines_->pong.store(serial_, std::memory_order_release);
          }
        }) {}

  std::string name() const override {
    return (copy_ ? "raw ping-pong with a memcpy" : "raw ping-pong beside a payload") + std::string(PollingName(polling_));
  }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(std::min(kWarmUp, count) + count);
    Payloads payloads(bytes_);
    return RunEachTimed(
        count, latency_ns, [&] { payloads.WriteNext(payload_->data()); },
        [this] {
          lines_->ping.store(++serial_, std::memory_order_release);
          Await(lines_->pong, serial_, polling_);
          return true;
        },
        [this] { return !copy_ || std::memcmp(payload_->data(), result_->data(), bytes_) == 0; });
  }

 private:
  const uint64_t bytes_;
  const bool copy_;
  const Polling polling_;
  uint64_t serial_ = 0;  // each process has its own, and counts the same
  Shared<Lines> lines_;
  Shared<PayloadBuffer> payload_;
  Shared<PayloadBuffer> result_;
  RivalServer server_;
};

}  // namespace

const char* PollingName(Polling polling) { return polling == Polling::kRelaxed ? ", relaxed" : ", eager"; }

std::unique_ptr<Contestant> MakeRawPingPong(Polling polling) { return std::make_unique<RawPingPong>(polling); }

std::unique_ptr<Contestant> MakeRawBesidePayload(uint64_t bytes, Polling polling) {
  return std::make_unique<RawBesidePayload>(bytes, false, polling);
}

std::unique_ptr<Contestant> MakeRawMemcpy(uint64_t bytes, Polling polling) {
  return std::make_unique<RawBesidePayload>(bytes, true, polling);
}

}  // namespace vgpu::bench
