// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/peer.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "tests/daemon/daemon.h"

namespace vgpu::test {

Peer::Peer(const std::string& socket_path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd_.reset();
}

bool Peer::SendBytes(std::string_view bytes, const std::vector<int>& fds) {
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(fd_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

std::string Encode(uint32_t type, std::string_view payload) {
  const vgpu_msg_header header{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, static_cast<uint16_t>(type),
                               static_cast<uint32_t>(payload.size()), 0};
  return std::string(Bytes(header)) + std::string(payload);
}

bool Peer::Send(uint32_t type, std::string_view payload, const std::vector<int>& fds) {
  return SendBytes(Encode(type, payload), fds);
}

bool Peer::Hello(uint32_t role) {
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, role};
  return Send(VGPU_MSG_HELLO, Bytes(hello)) && Expect(VGPU_MSG_HELLO).type == VGPU_MSG_HELLO;
}

bool Peer::ReceiveBytes(char* to, size_t bytes) {
  const TimePoint deadline = Clock::now() + kPatience;
  while (bytes > 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd watched{fd_.get(), POLLIN, 0};
    if (left <= 0 || poll(&watched, 1, static_cast<int>(left)) == 0) {
      ADD_FAILURE() << "the mediator says nothing";
      return false;
    }
    const ssize_t got = recv(fd_.get(), to, bytes, 0);
    if (got <= 0) return false;
    to += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

std::optional<Message> Peer::Receive() {
  vgpu_msg_header header;
  if (!ReceiveBytes(reinterpret_cast<char*>(&header), sizeof header)) return std::nullopt;
  EXPECT_EQ(header.magic, VGPU_CONTROL_MAGIC);
  EXPECT_EQ(header.version, VGPU_CONTROL_VERSION);
  Message message{header.type, std::string(header.size, '\0')};
  if (!ReceiveBytes(message.payload.data(), header.size)) return std::nullopt;
  return message;
}

Message Peer::Expect(uint32_t type) {
  const std::optional<Message> message = Receive();
  if (!message) {
    ADD_FAILURE() << "the mediator hung up instead of sending message " << type;
    return {};
  }
  if (message->type != type) {
    ADD_FAILURE() << "message " << message->type << " instead of " << type << ": "
                  << (message->type == VGPU_MSG_ERROR ? message->payload.substr(8).c_str() : "");
  }
  return *message;
}

std::string Peer::ExpectError(uint32_t* code) {
  const Message message = Expect(VGPU_MSG_ERROR);
  vgpu_msg_error error{};
  EXPECT_EQ(message.payload.size(), sizeof error);
  std::memcpy(&error, message.payload.data(), std::min(sizeof error, message.payload.size()));
  EXPECT_EQ(error.text[sizeof error.text - 1], '\0');
  if (code != nullptr) *code = error.code;
  EXPECT_FALSE(Receive()) << "the connection goes on after an error";
  return error.text;
}

bool Peer::HungUp() {
  return Eventually([this] {
    char bytes[4096];
    const ssize_t got = recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
  });
}

}  // namespace vgpu::test
