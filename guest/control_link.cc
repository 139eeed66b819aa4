// SPDX-License-Identifier: Apache-2.0
#include "guest/control_link.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <span>
#include <string_view>
#include <utility>

#include "api/codes.h"
#include "base/connect.h"
#include "base/unique_fd.h"

namespace vgpu::guest {
namespace {

// The peer's end has been closed, or the system has another reason (errno).
Error LinkError(const char* what) {
  if (errno == EPIPE || errno == ECONNRESET) return {VGPU_ERR_UNAVAILABLE, base::kHungUp};
  if (errno == EAGAIN)
    return {VGPU_ERR_UNAVAILABLE, "the mediator does not read its control socket: is it stopped?"};
  return FailErrno(VGPU_ERR_SYSTEM, what).value();
}

}  // namespace

Result<ControlLink> ControlLink::Connect(const std::string& path) {
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno(VGPU_ERR_SYSTEM, "cannot make a socket");
  const auto connected = base::Connect(fd.get(), path);
  if (!connected) return Fail(CodeOf(connected.error()), connected.error().text);
  return ControlLink(std::move(fd));
}

// A handful of small messages always fits an empty socket's buffer: what does not go at
// once is a broken connection.
Result<void> ControlLink::Send(uint32_t type, const void* payload, uint32_t size,
                               std::initializer_list<int> fds) {
  const std::string_view bytes(static_cast<const char*>(payload), size);
  if (base::SendFrame(fd(), ring::kOwnersEnd, type, bytes, std::span(fds.begin(), fds.size()))) return {};
  return tl::make_unexpected(LinkError("cannot send to the mediator"));
}

Result<Message> ControlLink::Receive(TimePoint deadline) {
  base::Frame<base::UniqueFd> frame;
  const auto received = base::AwaitFrame(channel_, deadline, &frame);
  if (!received) return Fail(CodeOf(received.error()), base::Explain(received.error(), ring::kOwnersEnd));
  if (*received == base::Received::kClosed) return Fail(VGPU_ERR_UNAVAILABLE, base::kHungUp);
  if (*received == base::Received::kNothingYet) {
    return Fail(
        VGPU_ERR_UNAVAILABLE,
        "the mediator accepted the connection but did not answer in time: is it stopped, or something else?");
  }
  Message message{frame.type, std::move(frame.payload)};
  if (message.type != VGPU_MSG_ERROR) return message;
  auto error = message.As<vgpu_msg_error>();
  if (!error) return tl::make_unexpected(error.error());
  error->text[sizeof(error->text) - 1] = '\0';
  return Fail(error->code == VGPU_OK ? VGPU_ERR_INVALID_REQUEST : error->code,
              fmt::format("the mediator refused: {}", error->text));
}

bool ControlLink::Readable() const { return base::WaitReadable(fd(), TimePoint()); }

}  // namespace vgpu::guest
