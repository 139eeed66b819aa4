// SPDX-License-Identifier: Apache-2.0
// A control connection on which anything comes, in portions of any size and with any number of descriptors:
// what is received keeps to the limits, an error is the end, and no descriptor is left behind.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/channel.h"
#include "base/unique_fd.h"
#include "ring/control.h"
#include "ring/control_format.h"
#include "tests/fuzz/input.h"

namespace vgpu::fuzz {
namespace {

constexpr size_t kPortionsMax = 64;
constexpr size_t kFdsMax = 12;  // more than the channel makes room for

// The lowest free number: the same before and after means that nothing was left open.
int LowestFree() {
  const int fd = dup(STDIN_FILENO);
  close(fd);
  return fd;
}

// One portion of bytes: a header that is right, or nearly so, or anything.
std::string TakePortion(Input* input) {
  const uint8_t how = input->Take<uint8_t>();
  std::string bytes;
  if (how % 2 == 0) {
    vgpu_msg_header header{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, input->Take<uint8_t>(),
                           input->Take<uint8_t>(), 0};
    if (how % 32 == 2) header.magic ^= input->Take<uint32_t>();
    if (how % 32 == 4) header.version = input->Take<uint16_t>();
    if (how % 32 == 6) header.size = input->Take<uint32_t>();
    bytes.assign(reinterpret_cast<const char*>(&header), sizeof header);
    if (how % 8 == 0) bytes.resize(how / 8 % sizeof header);
  }
  for (uint8_t left = input->Take<uint8_t>(); left > 0 && !input->ended(); --left)
    bytes += input->Take<char>();
  return bytes;
}

void SendPortion(int socket, const std::string& bytes, size_t fds) {
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))] = {};
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (fds != 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds * sizeof(int));
    const std::vector<int> numbers(fds, socket);
    std::memcpy(CMSG_DATA(part), numbers.data(), fds * sizeof(int));
  }
  if (!bytes.empty()) sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// Receives what is there. False: the connection is of no use any more.
bool ReceiveAll(base::Channel* channel) {
  for (;;) {
    base::Frame<base::UniqueFd> message;
    const auto received = channel->Receive(&message);
    if (!received || *received == base::Received::kClosed) return false;
    if (*received == base::Received::kNothingYet) return true;
    FUZZ_CHECK(message.payload.size() <= VGPU_CONTROL_PAYLOAD_MAX);
    FUZZ_CHECK(message.fds.size() <= VGPU_CONTROL_FDS_MAX);
    FUZZ_CHECK((message.As<vgpu_msg_hello>() != nullptr) ==
               (message.payload.size() == sizeof(vgpu_msg_hello)));
    for (const base::UniqueFd& fd : message.fds) FUZZ_CHECK((fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

void Converse(Input input) {
  int ends[2];
  FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  base::Channel channel(base::UniqueFd(ends[0]), ring::kMediatorsEnd);
  const base::UniqueFd peer(ends[1]);
  for (size_t i = 0; i < kPortionsMax && !input.ended(); ++i) {
    const uint8_t how = input.Take<uint8_t>();
    SendPortion(peer.get(), TakePortion(&input), how < 128 ? 0 : how % kFdsMax);
    if (how % 4 != 0 && !ReceiveAll(&channel)) return;
  }
  shutdown(peer.get(), SHUT_WR);
  FUZZ_CHECK(!ReceiveAll(&channel));
}

}  // namespace
}  // namespace vgpu::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int before = vgpu::fuzz::LowestFree();
  vgpu::fuzz::Converse({data, size});
  FUZZ_CHECK(vgpu::fuzz::LowestFree() == before);
  return 0;
}
