// SPDX-License-Identifier: Apache-2.0
// What is received, and how, is tested with base/channel.h; here: whose the descriptors are, and the words.
#include "mediator/control/control_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

using base::ChannelFault;

TEST(ControlChannelTest, Descriptors_ArePeers) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ControlChannel channel = MakeControlChannel(PeerFd(ends[0]));
  const base::UniqueFd peer(ends[1]);
  const int fds[] = {peer.get(), peer.get()};
  ASSERT_TRUE(base::SendFrame(peer.get(), ring::kMediatorsEnd, VGPU_MSG_START, {}, fds));
  ControlMessage message;
  const auto received = channel.Receive(&message);
  ASSERT_TRUE(received && *received == ControlChannel::Received::kFrame);
  EXPECT_EQ(message.type, VGPU_MSG_START);
  ASSERT_EQ(message.fds.size(), 2u);
  for (const PeerFd& fd : message.fds) EXPECT_TRUE(fd);
}

TEST(ControlChannelTest, LongestStatus_WaitsForASlowReader) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ControlChannel channel = MakeControlChannel(PeerFd(ends[0]));
  const base::UniqueFd peer(ends[1]);
  EXPECT_TRUE(channel.Send(VGPU_MSG_STATUS_REPLY, std::string(VGPU_CONTROL_STATUS_BYTES_MAX, 'x')));
  EXPECT_TRUE(channel.pending());
}

TEST(ControlChannelTest, Explain_NamesWhatIsWrong) {
  EXPECT_EQ(Explain({ChannelFault::kForeign}),
            "this is no vgpu-ring control message: does the chardev point at the right socket?");
  EXPECT_EQ(Explain({ChannelFault::kVersion, 2}),
            "control protocol version 2 instead of 1: use a QEMU device and a mediator of one release");
  EXPECT_EQ(Explain({ChannelFault::kTooLong, 4097}), "a control message of 4097 bytes; at most 4096");
  EXPECT_EQ(Explain({ChannelFault::kTooManyFds}), "more than 5 descriptors with one message");
  EXPECT_EQ(Explain({ChannelFault::kCutOff}), "the connection ended in the middle of a message");
}

}  // namespace
}  // namespace vgpu::mediator
