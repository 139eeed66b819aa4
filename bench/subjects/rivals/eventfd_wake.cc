// SPDX-License-Identifier: Apache-2.0
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "base/unique_fd.h"
#include "bench/lib/rival_server.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

void Signal(int fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(fd, &one, sizeof one);
}

void Block(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(fd, &count, sizeof count);
}

class EventfdWake final : public Contestant {
 public:
  explicit EventfdWake(std::chrono::nanoseconds pause)
      : pause_(pause), doorbell_(eventfd(0, EFD_CLOEXEC)), server_([this](uint64_t count) {
          for (uint64_t i = 0; i < count; ++i) {
            Block(doorbell_.get());
            answered_->store(++serial_, std::memory_order_release);
          }
        }) {}

  std::string name() const override { return "raw eventfd wake"; }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(count);
    const base::Ticks ticks;
    uint64_t total_ns = 0;
    for (uint64_t i = 0; i < count; ++i) {
      SpinFor(pause_);
      const uint64_t begin = ticks.Now();
      Signal(doorbell_.get());
      ++serial_;
      while (answered_->load(std::memory_order_acquire) != serial_) Relax();
      const uint64_t took_ns = ticks.Ns(ticks.Now() - begin);
      latency_ns->Record(took_ns);
      total_ns += took_ns;
    }
    return {static_cast<double>(total_ns) / static_cast<double>(count), 0};
  }

 private:
  const std::chrono::nanoseconds pause_;
  const base::UniqueFd doorbell_;
  uint64_t serial_ = 0;  // each process has its own, and counts the same
  Shared<std::atomic<uint64_t>> answered_;
  RivalServer server_;
};

class EventfdPingPong final : public Contestant {
 public:
  EventfdPingPong()
      : ping_(eventfd(0, EFD_CLOEXEC)), pong_(eventfd(0, EFD_CLOEXEC)), server_([this](uint64_t count) {
          for (uint64_t i = 0; i < count; ++i) {
            Block(ping_.get());
            Signal(pong_.get());
          }
        }) {}

  std::string name() const override { return "raw eventfd ping-pong"; }
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
    Signal(ping_.get());
    Block(pong_.get());
  }

  const base::UniqueFd ping_;
  const base::UniqueFd pong_;
  RivalServer server_;
};

}  // namespace

std::unique_ptr<Contestant> MakeEventfdWake(std::chrono::nanoseconds pause) {
  return std::make_unique<EventfdWake>(pause);
}

std::unique_ptr<Contestant> MakeEventfdPingPong() { return std::make_unique<EventfdPingPong>(); }

}  // namespace vgpu::bench
