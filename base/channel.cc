// SPDX-License-Identifier: Apache-2.0
#include "base/channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

namespace vgpu::base {
namespace {

constexpr size_t kSentAtOnceMax = sizeof(FrameHeader) + 4096;
constexpr size_t kFdsSentMax = 8;

// Takes all descriptors that came, however many.
void CollectFds(msghdr* message, Portion* portion) {
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    assert(portion->fd_count + count <= portion->fds.size());
    std::memcpy(portion->fds.data() + portion->fd_count, CMSG_DATA(part), count * sizeof(int));
    portion->fd_count += count;
  }
}

}  // namespace

FrameHeader HeaderOf(const FrameFormat& format, uint32_t type, size_t payload_bytes) {
  return {format.magic, format.version, static_cast<uint16_t>(type), static_cast<uint32_t>(payload_bytes), 0};
}

bool SendFrame(int socket, const FrameFormat& format, uint32_t type, std::string_view payload,
               std::span<const int> fds) {
  FrameHeader header = HeaderOf(format, type, payload.size());
  const size_t bytes = sizeof header + payload.size();
  assert(bytes <= kSentAtOnceMax && fds.size() <= kFdsSentMax);
  iovec pieces[2] = {{&header, sizeof header}, {const_cast<char*>(payload.data()), payload.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsSentMax * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == static_cast<ssize_t>(bytes)) return true;
  if (sent >= 0) errno = EAGAIN;  // the kernel does not split so little
  return false;
}

bool FrameQueue::Send(int socket, const FrameFormat& format, uint32_t type, std::string_view payload) {
  const FrameHeader header = HeaderOf(format, type, payload.size());
  bytes_.erase(0,
               std::exchange(sent_, 0));  // or an end that always leaves a little would make it grow for ever
  if (bytes_.size() + sizeof header + payload.size() > format.queued_max) {
    errno = EAGAIN;
    return false;
  }
  bytes_.append(reinterpret_cast<const char*>(&header), sizeof header);
  bytes_.append(payload);
  return Flush(socket);
}

bool FrameQueue::Flush(int socket) {
  while (!empty()) {
    const ssize_t put =
        send(socket, bytes_.data() + sent_, bytes_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    sent_ += static_cast<size_t>(put);
  }
  bytes_.clear();
  sent_ = 0;
  return true;
}

void ReceivePortion(int socket, char* to, size_t bytes, bool with_fds, Portion* portion) {
  iovec piece{to, bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * Portion::kFdsMax)];
  msghdr message{};
  ssize_t got;
  do {
    message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = with_fds ? control : nullptr;
    message.msg_controllen = with_fds ? sizeof control : 0;
    got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    const bool later = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    portion->received = later ? Received::kNothingYet : Received::kClosed;
    return;
  }
  portion->received = Received::kFrame;
  portion->bytes = static_cast<size_t>(got);
  if (!with_fds) return;
  portion->fds_lost = (message.msg_flags & MSG_CTRUNC) != 0;
  CollectFds(&message, portion);
}

void ReplaceDescriptor(int from, int to) { dup3(from, to, O_CLOEXEC); }

}  // namespace vgpu::base
