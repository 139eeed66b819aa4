// SPDX-License-Identifier: Apache-2.0
// The kernel's own queues between processes.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "base/unique_fd.h"
#include "bench/lib/payload.h"
#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

// Made before the fork, so both sides have both ends.
class Stream {
 public:
  size_t Push(const Message* messages, size_t n) { return Whole(Write(messages, n * sizeof(Message))); }
  size_t Pop(Message* messages, size_t n) { return Whole(Read(messages, n * sizeof(Message))); }

  // Some of these bytes, or none yet.
  size_t Write(const void* bytes, size_t n) { return Some(write(in_.get(), bytes, n)); }
  size_t Read(void* bytes, size_t n) { return Some(read(out_.get(), bytes, n)); }

 protected:
  Stream(int in, int out) : in_(in), out_(out) {}

 private:
  static size_t Some(ssize_t bytes) {
    if (bytes > 0) return static_cast<size_t>(bytes);
    if (bytes < 0 && errno == EAGAIN) return 0;
    throw std::runtime_error("a stream broke");
  }
  static size_t Whole(size_t bytes) {
    if (bytes % sizeof(Message) != 0) throw std::runtime_error("a stream tore a message apart");
    return bytes / sizeof(Message);
  }

  const base::UniqueFd in_, out_;
};

struct Ends {
  int fd[2];
};

Ends PipeEnds() {
  Ends ends;
  if (pipe2(ends.fd, O_CLOEXEC | O_NONBLOCK) != 0) throw std::runtime_error("no pipe");
  return ends;
}

Ends SocketEnds() {
  Ends ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.fd) != 0)
    throw std::runtime_error("no socket");
  return ends;
}

class Pipe : public Stream {
 public:
  static constexpr const char* kName = "pipe";
  Pipe() : Pipe(PipeEnds()) {}

 private:
  explicit Pipe(Ends ends) : Stream(ends.fd[1], ends.fd[0]) {}
};

class Socket : public Stream {
 public:
  static constexpr const char* kName = "Unix socket";
  Socket() : Socket(SocketEnds()) {}

 private:
  explicit Socket(Ends ends) : Stream(ends.fd[1], ends.fd[0]) {}
};

// The payload itself goes through the kernel, and its result.
template <class Queue>
class PayloadStreams final : public Contestant {
 public:
  explicit PayloadStreams(const PairPlan& plan)
      : plan_(plan), server_([this](uint64_t count) { Serve(count); }) {}

  std::string name() const override { return std::string(Queue::kName) + PollingName(plan_.polling); }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(WithWarmUp(count));
    return RunPayloads(count, latency_ns, plan_.payload_bytes, payload_->data(), result_->data(), [this] {
      Put(requests_, *payload_);
      Get(replies_, result_.get());
      return true;
    });
  }

 private:
  void Serve(uint64_t count) {
    for (; count > 0; --count) {
      Get(requests_, payload_.get());
      DoublePayload(payload_->data(), result_->data(), plan_.payload_bytes);
      Put(replies_, *result_);
    }
  }

  void Put(Queue& queue, const PayloadBuffer& buffer) {
    const char* bytes = reinterpret_cast<const char*>(buffer.data());
    for (uint64_t done = 0; done < plan_.payload_bytes;) {
      const size_t put = queue.Write(bytes + done, plan_.payload_bytes - done);
      if (put == 0) Rest(plan_.polling);
      done += put;
    }
  }
  void Get(Queue& queue, PayloadBuffer* buffer) {
    char* bytes = reinterpret_cast<char*>(buffer->data());
    for (uint64_t done = 0; done < plan_.payload_bytes;) {
      const size_t got = queue.Read(bytes + done, plan_.payload_bytes - done);
      if (got == 0) Rest(plan_.polling);
      done += got;
    }
  }

  const PairPlan plan_;
  Queue requests_, replies_;
  // Each process has its own.
  const std::unique_ptr<PayloadBuffer> payload_ = std::make_unique<PayloadBuffer>();
  const std::unique_ptr<PayloadBuffer> result_ = std::make_unique<PayloadBuffer>();
  RivalServer server_;
};

template <class Queue>
std::unique_ptr<Contestant> MakeStreams(const PairPlan& plan) {
  if (plan.payload_bytes != 0) return std::make_unique<PayloadStreams<Queue>>(plan);
  return std::make_unique<Exchange<TwoQueues<Queue>>>(plan);
}

}  // namespace

std::unique_ptr<Contestant> MakePipePair(const PairPlan& plan) { return MakeStreams<Pipe>(plan); }
std::unique_ptr<Contestant> MakeSocketPair(const PairPlan& plan) { return MakeStreams<Socket>(plan); }

}  // namespace vgpu::bench
