// SPDX-License-Identifier: Apache-2.0
#include "tools/ctl_link.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

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

constexpr std::chrono::seconds kPatience{5};

// A blocking connect waits for room in the queue of a mediator that is stopped; this limits it.
void LimitWaiting(int fd) {
  const timeval limit{kPatience.count(), 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
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
  if (!channel_.Send(type, payload)) return Fail(VGPU_ERR_UNAVAILABLE, base::kHungUp);
  return Await(reply_type);
}

// Of messages of other types there are none that matter here.
Result<Reply> Link::Await(uint32_t type) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    Reply message;
    const auto received = base::AwaitFrame(channel_, deadline, &message);
    if (!received)
      return Fail(guest::CodeOf(received.error()), base::Explain(received.error(), ring::kOperatorsEnd));
    if (*received == base::Received::kClosed) return Fail(VGPU_ERR_UNAVAILABLE, base::kHungUp);
    if (*received == base::Received::kNothingYet) {
      return Fail(VGPU_ERR_TIMEOUT,
                  fmt::format("the mediator did not answer within {} s: is it stopped, or stuck? See its log",
                              kPatience.count()));
    }
    const auto* error = message.As<vgpu_msg_error>();
    if (message.type == VGPU_MSG_ERROR && error != nullptr) {
      return Fail(error->code == VGPU_OK ? VGPU_ERR_INVALID_REQUEST : error->code,
                  std::string(error->text, strnlen(error->text, sizeof error->text)));
    }
    if (message.type == type) return message;
  }
}

}  // namespace vgpu::ctl
