// SPDX-License-Identifier: Apache-2.0
#include "guest/control_link.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

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

Result<void> ControlLink::Send(uint32_t type, const void* payload, uint32_t size,
                               std::initializer_list<int> fds) {
  vgpu_msg_header header = {VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, static_cast<uint16_t>(type), size, 0};
  iovec parts[2] = {{&header, sizeof(header)}, {const_cast<void*>(payload), size}};
  alignas(cmsghdr) char control[CMSG_SPACE(VGPU_CONTROL_FDS_MAX * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = size > 0 ? 2 : 1;
  if (fds.size() > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.begin(), fds.size() * sizeof(int));
  }
  // A handful of small messages always fits an empty socket's buffer: less than all sent is a broken
  // connection.
  const ssize_t sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(sizeof(header) + size)) return {};
  if (sent >= 0) errno = EAGAIN;
  return tl::make_unexpected(LinkError("cannot send to the mediator"));
}

Result<void> ControlLink::ReceiveBytes(void* data, size_t bytes, TimePoint deadline) {
  auto* to = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = recv(fd_.get(), to, bytes, MSG_DONTWAIT);
    if (got > 0) {
      to += got;
      bytes -= static_cast<size_t>(got);
    } else if (got == 0) {
      return Fail(VGPU_ERR_UNAVAILABLE, kHungUp);
    } else if (errno != EAGAIN && errno != EINTR) {
      return tl::make_unexpected(LinkError("cannot hear the mediator"));
    } else if (errno == EAGAIN && !WaitReadable(fd_.get(), deadline)) {
      return Fail(VGPU_ERR_UNAVAILABLE,
                  "the mediator accepted the connection but did not answer in time: is it stopped, or "
                  "something else?");
    }
  }
  return {};
}

Result<Message> ControlLink::Receive(TimePoint deadline) {
  vgpu_msg_header header;
  if (auto got = ReceiveBytes(&header, sizeof(header), deadline); !got)
    return tl::make_unexpected(got.error());
  if (header.magic != VGPU_CONTROL_MAGIC) {
    return Fail(VGPU_ERR_VERSION, "what answers on this socket is not a vgpu-ring mediator: check the path");
  }
  if (header.version != VGPU_CONTROL_VERSION || header.size > VGPU_CONTROL_PAYLOAD_MAX) {
    return Fail(VGPU_ERR_VERSION,
                fmt::format("the mediator speaks control protocol {}, this program {}: install "
                            "matching versions",
                            header.version, VGPU_CONTROL_VERSION));
  }
  Message message;
  message.type = header.type;
  message.size = header.size;
  if (auto got = ReceiveBytes(message.payload.data(), header.size, deadline); !got) {
    return tl::make_unexpected(got.error());
  }
  if (message.type != VGPU_MSG_ERROR) return message;
  auto error = message.As<vgpu_msg_error>();
  if (!error) return tl::make_unexpected(error.error());
  error->text[sizeof(error->text) - 1] = '\0';
  return Fail(error->code == VGPU_OK ? VGPU_ERR_INVALID_REQUEST : error->code,
              fmt::format("the mediator refused: {}", error->text));
}

bool ControlLink::Readable() const { return WaitReadable(fd_.get(), TimePoint()); }

void ControlLink::Replace(ControlLink other) { dup3(other.fd_.get(), fd_.get(), O_CLOEXEC); }

}  // namespace vgpu::guest
