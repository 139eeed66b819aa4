// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/port_daemon.h"

#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "bench/lib/listener.h"
#include "bench/subjects/socket/stream.h"
#include "bench/subjects/socket/vector_message.h"

namespace vgpu::bench::socket {
namespace {

// Header and sums in one piece, so that a short answer takes one call.
bool Answer(int fd, const VectorResponse& header, std::vector<uint32_t>& memory) {
  std::memcpy(memory.data(), &header, sizeof header);
  return WriteAll(fd, memory.data(), sizeof header + header.count * sizeof(uint32_t));
}

void Serve(int listener) {
  signal(SIGPIPE, SIG_IGN);
  for (;;) {
    base::UniqueFd connection(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection && errno != EINTR) return;
    if (!connection) continue;
    std::thread([fd = std::move(connection)] { ServePort(fd.get()); }).detach();
  }
}

}  // namespace

void ServePort(int fd) {
  constexpr size_t kHeaderWords = sizeof(VectorResponse) / sizeof(uint32_t);
  std::vector<uint32_t> operands;
  std::vector<uint32_t> answer(kHeaderWords);
  VectorRequest request;
  while (ReadAll(fd, &request, sizeof request)) {
    const uint64_t count = request.count;
    if (request.version != kVectorVersion || count == 0 || count > kElementsMax) {
      Answer(fd, {kRefused, request.request_id, 0}, answer);
      return;
    }
    operands.resize(2 * count);
    answer.resize(kHeaderWords + count);
    if (!ReadAll(fd, operands.data(), 2 * count * sizeof(uint32_t))) return;
    const uint32_t* a = operands.data();
    const uint32_t* b = a + count;
    uint32_t* sums = answer.data() + kHeaderWords;
    for (uint64_t i = 0; i < count; ++i) sums[i] = a[i] + b[i];
    if (!Answer(fd, {kOk, request.request_id, count}, answer)) return;
  }
}

Result<std::unique_ptr<PortDaemon>> PortDaemon::Start() {
  std::unique_ptr<PortDaemon> daemon(new PortDaemon);
  const auto listener = Listen(daemon->socket());
  if (!listener) return tl::make_unexpected(listener.error());
  auto child = Fork(kServers, [&] { Serve(listener->get()); });
  if (!child) return tl::make_unexpected(child.error());
  daemon->child_ = std::move(*child);
  return daemon;
}

}  // namespace vgpu::bench::socket
