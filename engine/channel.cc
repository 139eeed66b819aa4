// SPDX-License-Identifier: Apache-2.0
#include "engine/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace vgpu::engine {

bool Channel::Send(const Message& message, const MessageFds& fds) const {
  iovec body{const_cast<Message*>(&message), sizeof message};
  msghdr header{};
  header.msg_iov = &body;
  header.msg_iovlen = 1;
  const int both[] = {fds.region, fds.rings};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof both)] = {};
  if (fds.region >= 0) {
    const size_t bytes = fds.rings >= 0 ? sizeof both : sizeof both[0];
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), both, bytes);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == sizeof message;
}

Channel::Received Channel::Receive(Message* message, ReceivedFds* fds, bool wait) const {
  iovec body{message, sizeof *message};
  msghdr header{};
  header.msg_iov = &body;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Received::kNothingYet;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); got >= 0 && part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count && i < fds->size(); ++i) {
      int received;
      std::memcpy(&received, CMSG_DATA(part) + i * sizeof received, sizeof received);
      (*fds)[i] = base::UniqueFd(received);
    }
  }
  if (got != sizeof *message || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Received::kClosed;
  message->name[sizeof message->name - 1] = 0;
  message->driver[sizeof message->driver - 1] = 0;
  message->text[sizeof message->text - 1] = 0;
  return Received::kMessage;
}

}  // namespace vgpu::engine
