// SPDX-License-Identifier: Apache-2.0
#include "guest/control_link.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <string_view>
#include <utility>

#include "api/codes.h"
#include "base/connect.h"
#include "base/unique_fd.h"

namespace vgpu::guest {
namespace {

constexpr const char* kHungUp =
    "the mediator closed the connection: see its log for the reason, or start it again";

// The peer's end has been closed, or the system has another reason (errno).
Error LinkError(const char* what) {
  if (errno == EPIPE || errno == ECONNRESET) return {VGPU_ERR_UNAVAILABLE, kHungUp};
  if (errno == EAGAIN)
    return {VGPU_ERR_UNAVAILABLE, "the mediator does not read its control socket: is it stopped?"};
  return FailErrno(VGPU_ERR_SYSTEM, what).value();
}

// What came is nothing that a mediator of this release says.
Error Broken(const base::ChannelError& error) {
  using base::ChannelFault;
  switch (error.fault) {
    case ChannelFault::kForeign:
      return {VGPU_ERR_VERSION, "what answers on this socket is not a vgpu-ring mediator: check the path"};
    case ChannelFault::kVersion:
    case ChannelFault::kTooLong:
      return {
          VGPU_ERR_VERSION,
          fmt::format("the mediator speaks control protocol {}, this program {}: install matching versions",
                      error.fault == ChannelFault::kVersion ? error.value : VGPU_CONTROL_VERSION,
                      VGPU_CONTROL_VERSION)};
    case ChannelFault::kTooManyFds:
    case ChannelFault::kNoFdsLeft:  // none are received
    case ChannelFault::kCutOff:
      break;
  }
  return {VGPU_ERR_UNAVAILABLE, kHungUp};
}

// Waits until `fd` can be read or the deadline has passed; false then.
bool WaitReadable(int fd, TimePoint deadline) {
  while (true) {
    const auto left =
        std::max<std::chrono::nanoseconds>(deadline - Clock::now(), std::chrono::nanoseconds(0));
    const timespec time = {static_cast<time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
    pollfd look = {fd, POLLIN, 0};
    const int ready = ppoll(&look, 1, &time, nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // the read that follows reports it
  }
}

}  // namespace

Result<ControlLink> ControlLink::Connect(const std::string& path) {
  base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno(VGPU_ERR_SYSTEM, "cannot make a socket");
  const auto connected = base::Connect(fd.get(), path);
  if (!connected) return Fail(CodeOf(connected.error()), connected.error().text);
  return ControlLink(std::move(fd));
}

// A handful of small messages always fits an empty socket's buffer: what does not go at once is a broken
// connection.
Result<void> ControlLink::Send(uint32_t type, const void* payload, uint32_t size,
                               std::initializer_list<int> fds) {
  const std::string_view bytes(static_cast<const char*>(payload), size);
  if (base::SendFrame(fd(), ring::kOwnersEnd, type, bytes, std::span(fds.begin(), fds.size()))) return {};
  return tl::make_unexpected(LinkError("cannot send to the mediator"));
}

Result<Message> ControlLink::Receive(TimePoint deadline) {
  base::Frame<base::UniqueFd> frame;
  for (;;) {
    const auto received = channel_.Receive(&frame);
    if (!received) return tl::make_unexpected(Broken(received.error()));
    if (*received == base::Received::kClosed) return Fail(VGPU_ERR_UNAVAILABLE, kHungUp);
    if (*received == base::Received::kFrame) break;
    if (!WaitReadable(fd(), deadline)) {
      return Fail(VGPU_ERR_UNAVAILABLE,
                  "the mediator accepted the connection but did not answer in time: is it stopped, or "
                  "something else?");
    }
  }
  Message message{frame.type, std::move(frame.payload)};
  if (message.type != VGPU_MSG_ERROR) return message;
  auto error = message.As<vgpu_msg_error>();
  if (!error) return tl::make_unexpected(error.error());
  error->text[sizeof(error->text) - 1] = '\0';
  return Fail(error->code == VGPU_OK ? VGPU_ERR_INVALID_REQUEST : error->code,
              fmt::format("the mediator refused: {}", error->text));
}

bool ControlLink::Readable() const { return WaitReadable(fd(), TimePoint()); }

}  // namespace vgpu::guest
