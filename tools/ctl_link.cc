// SPDX-License-Identifier: Apache-2.0
#include "tools/ctl_link.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "api/codes.h"
#include "base/connect.h"
#include "base/unique_fd.h"

namespace vgpu::ctl {
namespace {

using guest::Fail;
using guest::Result;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{5};

tl::unexpected<guest::Error> Closed() {
  return Fail(VGPU_ERR_UNAVAILABLE,
              "the mediator closed the connection: see its log for the reason, or try again");
}

// What came is nothing that a mediator of this release says.
tl::unexpected<guest::Error> Broken(const base::ChannelError& error) {
  using base::ChannelFault;
  switch (error.fault) {
    case ChannelFault::kForeign:
      return Fail(VGPU_ERR_VERSION, "what answers on this socket is no vgpu-ring mediator: check the path");
    case ChannelFault::kVersion:
      return Fail(VGPU_ERR_VERSION,
                  fmt::format("the mediator speaks control protocol {}, this program {}: use one "
                              "release of both",
                              error.value, VGPU_CONTROL_VERSION));
    case ChannelFault::kTooLong:
      return Fail(VGPU_ERR_VERSION,
                  fmt::format("the mediator sent a message of {} bytes, more than {}: use one release "
                              "of both",
                              error.value, VGPU_CONTROL_STATUS_BYTES_MAX));
    case ChannelFault::kTooManyFds:
    case ChannelFault::kNoFdsLeft:  // none are received
    case ChannelFault::kCutOff:
      break;
  }
  return Fail(VGPU_ERR_VERSION, "the connection ended in the middle of a message");
}

// A blocking connect waits for room in the queue of a mediator that is stopped; this limits it.
void LimitWaiting(int fd) {
  const timeval limit{kPatience.count(), 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

// Until there is something to receive; false: too late.
bool WaitReadable(int fd, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left <= 0) return false;
  pollfd readable{fd, POLLIN, 0};
  return poll(&readable, 1, static_cast<int>(left)) != 0;  // a signal: the caller looks again
}

}  // namespace

Result<std::unique_ptr<Link>> Link::Open(const std::string& socket_path) {
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return guest::FailErrno(VGPU_ERR_SYSTEM, "cannot make a socket");
  LimitWaiting(fd.get());
  if (const auto connected = base::Connect(fd.get(), socket_path); !connected) {
    return Fail(guest::CodeOf(connected.error()), connected.error().text);
  }
  std::unique_ptr<Link> link(new Link(std::move(fd)));
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_OPERATOR};
  const auto greeted = link->Ask(
      VGPU_MSG_HELLO, std::string_view(reinterpret_cast<const char*>(&hello), sizeof hello), VGPU_MSG_HELLO);
  if (!greeted) return tl::make_unexpected(greeted.error());
  return link;
}

Result<Reply> Link::Ask(uint32_t type, std::string_view payload, uint32_t reply_type) {
  if (!channel_.Send(type, payload)) return Closed();
  return Await(reply_type);
}

// Of messages of other types there are none that matter here.
Result<Reply> Link::Await(uint32_t type) {
  const Clock::time_point deadline = Clock::now() + kPatience;
  for (;;) {
    Reply message;
    const auto received = channel_.Receive(&message);
    if (!received) return Broken(received.error());
    if (*received == base::Received::kClosed) return Closed();
    if (*received == base::Received::kFrame) {
      const auto* error = message.As<vgpu_msg_error>();
      if (message.type == VGPU_MSG_ERROR && error != nullptr) {
        return Fail(error->code == VGPU_OK ? VGPU_ERR_INVALID_REQUEST : error->code,
                    std::string(error->text, strnlen(error->text, sizeof error->text)));
      }
      if (message.type == type) return message;
      continue;
    }
    if (!WaitReadable(channel_.fd(), deadline)) {
      return Fail(VGPU_ERR_TIMEOUT,
                  fmt::format("the mediator did not answer within {} s: is it stopped, or stuck? See its log",
                              kPatience.count()));
    }
  }
}

}  // namespace vgpu::ctl
