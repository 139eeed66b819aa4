// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include "bench/rivals/rival_server.h"
#include "bench/rivals/rivals.h"

namespace vgpu::bench {
namespace {

struct Lines {
  alignas(128) std::atomic<uint64_t> ping{0};
  alignas(128) std::atomic<uint64_t> pong{0};
};

void Await(const std::atomic<uint64_t>& word, uint64_t value, Polling polling) {
  while (word.load(std::memory_order_acquire) != value) {
    if (polling == Polling::kRelaxed) Relax();
  }
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

}  // namespace

const char* PollingName(Polling polling) { return polling == Polling::kRelaxed ? ", relaxed" : ", eager"; }

std::unique_ptr<Contestant> MakeRawPingPong(Polling polling) { return std::make_unique<RawPingPong>(polling); }

}  // namespace vgpu::bench
