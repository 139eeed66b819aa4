// SPDX-License-Identifier: Apache-2.0
// The kernel's own queues between processes.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "bench/rivals/queue_pair.h"
#include "ring/unique_fd.h"

namespace vgpu::bench {
namespace {

// Made before the fork, so both sides have both ends.
class Stream {
 public:
  size_t Push(const Message* messages, size_t n) { return Whole(write(in_.get(), messages, n * sizeof(Message))); }
  size_t Pop(Message* messages, size_t n) { return Whole(read(out_.get(), messages, n * sizeof(Message))); }

 protected:
  Stream(int in, int out) : in_(in), out_(out) {}

 private:
  static size_t Whole(ssize_t bytes) {
    if (bytes < 0 && errno == EAGAIN) return 0;
    if (bytes <= 0 || bytes % sizeof(Message) != 0) throw std::runtime_error("a stream tore a message apart");
    return static_cast<size_t>(bytes) / sizeof(Message);
  }

  const ring::UniqueFd in_, out_;
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
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.fd) != 0) throw std::runtime_error("no socket");
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

}  // namespace

std::unique_ptr<Contestant> MakePipePair(const PairPlan& plan) {
  return std::make_unique<Exchange<TwoQueues<Pipe>>>(plan);
}

std::unique_ptr<Contestant> MakeSocketPair(const PairPlan& plan) {
  return std::make_unique<Exchange<TwoQueues<Socket>>>(plan);
}

}  // namespace vgpu::bench
