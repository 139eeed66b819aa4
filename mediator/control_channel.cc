// SPDX-License-Identifier: Apache-2.0
#include "mediator/control_channel.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/result.h"

namespace vgpu::mediator {
namespace {

// SCM_MAX_FD of the kernel: what does not fit is closed by the kernel, within recvmsg.
constexpr size_t kFdsPerMessage = 253;
constexpr size_t kQueuedBytesMax = VGPU_CONTROL_STATUS_BYTES_MAX + (1 << 16);

// Takes ownership of every descriptor that came, so that none leaks, however many.
void CollectFds(const msghdr& message, std::vector<PeerFd>* fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(const_cast<msghdr*>(&message), part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      fds->emplace_back(fd);
    }
  }
}

base::Result<void> CheckHeader(const vgpu_msg_header& header, uint32_t payload_max) {
  if (header.magic != VGPU_CONTROL_MAGIC) {
    return tl::make_unexpected("this is no vgpu-ring control message: does the chardev point at the right socket?");
  }
  if (header.version != VGPU_CONTROL_VERSION) {
    return tl::make_unexpected(
        fmt::format("control protocol version {} instead of {}: use a QEMU device and a mediator of one release",
                    header.version, VGPU_CONTROL_VERSION));
  }
  if (header.size > payload_max) {
    return tl::make_unexpected(fmt::format("a control message of {} bytes; at most {}", header.size, payload_max));
  }
  return {};
}

}  // namespace

// Reads until *have == want. False: not all there yet. Errors: "" when the peer closed the connection.
base::Result<bool> ControlChannel::Fill(char* to, size_t want, size_t* have) {
  while (*have < want) {
    iovec piece{to + *have, want - *have};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kFdsPerMessage)> control;
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (got <= 0) return tl::make_unexpected("");
    CollectFds(message, &fds_);
    if (fds_.size() <= VGPU_CONTROL_FDS_MAX && (message.msg_flags & MSG_CTRUNC) != 0) {
      return tl::make_unexpected(
          "this process has no descriptors left for those of the message: raise its limit (LimitNOFILE=, ulimit -n)");
    }
    if (fds_.size() > VGPU_CONTROL_FDS_MAX) {
      return tl::make_unexpected(fmt::format("more than {} descriptors with one message", VGPU_CONTROL_FDS_MAX));
    }
    *have += static_cast<size_t>(got);
  }
  return true;
}

base::Result<ControlChannel::Received> ControlChannel::Receive(ControlMessage* message) {
  const bool at_start = header_have_ == 0;
  base::Result<bool> filled = Fill(reinterpret_cast<char*>(&header_), sizeof header_, &header_have_);
  if (!filled && filled.error().empty()) {
    if (at_start && header_have_ == 0) return Received::kClosed;
    return tl::make_unexpected("the connection ended in the middle of a message");
  }
  if (!filled) return tl::make_unexpected(filled.error());
  if (!*filled) return Received::kNothingYet;
  if (const auto valid = CheckHeader(header_, payload_max_); !valid) return tl::make_unexpected(valid.error());
  payload_.resize(header_.size);
  filled = Fill(payload_.data(), payload_.size(), &payload_have_);
  if (!filled) {
    return tl::make_unexpected(filled.error().empty() ? "the connection ended in the middle of a message"
                                                      : filled.error());
  }
  if (!*filled) return Received::kNothingYet;
  message->type = header_.type;
  message->payload = std::exchange(payload_, {});
  message->fds = std::exchange(fds_, {});
  header_have_ = payload_have_ = 0;
  return Received::kMessage;
}

bool ControlChannel::Send(uint32_t type, std::string_view payload) {
  const vgpu_msg_header header{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, static_cast<uint16_t>(type),
                               static_cast<uint32_t>(payload.size()), 0};
  out_.erase(0, std::exchange(sent_, 0));  // or a peer that always leaves a little would make it grow for ever
  if (out_.size() + payload.size() > kQueuedBytesMax) return false;
  out_.append(reinterpret_cast<const char*>(&header), sizeof header);
  out_.append(payload);
  return Flush();
}

bool ControlChannel::Flush() {
  while (pending()) {
    const ssize_t put = send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    sent_ += static_cast<size_t>(put);
  }
  out_.clear();
  sent_ = 0;
  return true;
}

}  // namespace vgpu::mediator
