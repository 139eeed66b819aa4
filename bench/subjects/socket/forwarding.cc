// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/forwarding.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "bench/lib/rival_server.h"
#include "bench/lib/shared_memory.h"
#include "bench/subjects/socket/channel.h"
#include "bench/subjects/socket/daemon.h"
#include "bench/subjects/socket/device.h"

namespace vgpu::bench::socket {
namespace {

constexpr std::chrono::milliseconds kOldPoll{2};
constexpr uint64_t kOldRequests = 25;  // a round takes a tenth of a second

struct Pair {
  Pair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("no socket");
    qemu = base::UniqueFd(ends[0]);
    daemon = base::UniqueFd(ends[1]);
  }
  base::UniqueFd qemu, daemon;
};

void Raise(int event) {
  const uint64_t one = 1;
  if (write(event, &one, sizeof one) != sizeof one) throw std::runtime_error("cannot write to an eventfd");
}

// Sleeps until it was raised.
void Drain(int event) {
  uint64_t count;
  if (read(event, &count, sizeof count) != sizeof count) throw std::runtime_error("cannot read an eventfd");
}

class Forwarding final : public Contestant {
 public:
  Forwarding(Waiting waiting, const std::optional<Pace>& pace)
      : waiting_(waiting),
        pace_(pace),
        doorbell_(eventfd(0, EFD_CLOEXEC)),
        interrupt_(eventfd(0, EFD_CLOEXEC)),
        answers_(socket_.qemu.get()),
        daemon_([this](uint64_t count) { Serve(count); }) {
    if (waiting_ == Waiting::kSpinning) return;
    auto loop = Fork(kElsewhere, [this] { MainLoop(); });
    if (!loop) throw std::runtime_error(loop.error());
    main_loop_ = std::move(*loop);
  }

  std::string name() const override {
    switch (waiting_) {
      case Waiting::kAsItWas: return "socket as it was (2 ms polls)";
      case Waiting::kBlocking: return "socket, blocking";
      case Waiting::kHandedOn: return "socket, blocking, main loop sends";
      case Waiting::kSpinning: return "socket, spinning";
    }
    return "socket";
  }
  pid_t server() const override { return daemon_.pid(); }
  uint64_t share(uint64_t count) const override {
    return waiting_ == Waiting::kAsItWas ? std::min(count, kOldRequests) : count;
  }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    const uint64_t every = waiting_ == Waiting::kSpinning ? Stopwatch::kEvery : 1;
    daemon_.Begin(WithWarmUp(count));
    const auto ask = [this](uint64_t i) { return Ask(i); };
    return pace_ ? RunPaced(count, *pace_, latency_ns, ask) : RunOneByOne(count, latency_ns, ask, every);
  }

 private:
  bool blocking() const { return waiting_ == Waiting::kBlocking || waiting_ == Waiting::kHandedOn; }

  // ---- the daemon's process ----

  void Serve(uint64_t count) {
    Receiver requests(socket_.daemon.get());
    Message request;
    Message response;
    while (count > 0) {
      if (requests.Take(blocking(), &request)) {
        Answer(request, &response);
        Send(socket_.daemon.get(), response);
        --count;
      } else if (waiting_ == Waiting::kAsItWas) {
        std::this_thread::sleep_for(kOldPoll);
      }
    }
  }

  // ---- QEMU's main loop ----

  void MainLoop() {
    std::array<pollfd, 2> events = {pollfd{socket_.qemu.get(), POLLIN, 0},
                                    pollfd{doorbell_.get(), POLLIN, 0}};
    Message response;
    while (poll(events.data(), events.size(), -1) > 0) {
      if (events[1].revents != 0) {
        Drain(doorbell_.get());
        SendRequest(registers_.get(), socket_.qemu.get());
      }
      if (events[0].revents == 0) continue;
      if (!answers_.Take(true, &response)) return;
      Complete(registers_.get(), response);
      if (blocking()) Raise(interrupt_.get());
    }
  }

  // ---- the guest's thread ----

  bool Ask(uint64_t i) {
    const Operands operands = OperandsOf(i);
    AddRequest request{};
    request.version = kVersion;
    request.opcode = kVectorAdd;
    request.param_count = 2;
    request.params[0] = static_cast<uint32_t>(operands.a);
    request.params[1] = static_cast<uint32_t>(operands.b);
    Registers& registers = *registers_;
    std::memcpy(registers.request_buf.data(), &request, sizeof request);
    registers.request_len = sizeof request;
    registers.request_id = ++request_id_;
    registers.status.store(kBusy, std::memory_order_relaxed);
    if (waiting_ == Waiting::kHandedOn) {
      Raise(doorbell_.get());
    } else {
      SendRequest(&registers, socket_.qemu.get());
    }
    Await();
    AddResponse response;
    std::memcpy(&response, registers.response_buf.data(), sizeof response);
    return registers.status.load(std::memory_order_relaxed) == kDone &&
           registers.response_len == sizeof response && response.status == 0 &&
           response.results[0] == operands.sum();
  }

  void Await() {
    while (registers_->status.load(std::memory_order_acquire) == kBusy) {
      switch (waiting_) {
        case Waiting::kAsItWas: std::this_thread::sleep_for(kOldPoll); break;
        case Waiting::kBlocking:
        case Waiting::kHandedOn: Drain(interrupt_.get()); break;
        case Waiting::kSpinning: PollSocket(); break;
      }
    }
  }

  void PollSocket() {
    Message response;
    if (answers_.Take(false, &response)) Complete(registers_.get(), response);
  }

  const Waiting waiting_;
  const std::optional<Pace> pace_;
  uint32_t request_id_ = 0;
  Pair socket_;
  const base::UniqueFd doorbell_, interrupt_;
  Receiver answers_;
  Shared<Registers> registers_;
  RivalServer daemon_;
  Child main_loop_;
};

}  // namespace

std::unique_ptr<Contestant> MakeForwarding(Waiting waiting, const std::optional<Pace>& pace) {
  return std::make_unique<Forwarding>(waiting, pace);
}

}  // namespace vgpu::bench::socket
