// SPDX-License-Identifier: Apache-2.0
#include "mediator/control_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

using Received = ControlChannel::Received;

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::string Encode(uint32_t type, const std::string& payload) {
  const vgpu_msg_header header{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, static_cast<uint16_t>(type),
                               static_cast<uint32_t>(payload.size()), 0};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + payload;
}

class ControlChannelTest : public testing::Test {
 protected:
  ControlChannelTest() { Connect(); }

  void Connect() {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    channel_ = std::make_unique<ControlChannel>(base::UniqueFd(ends[0]));
    peer_ = base::UniqueFd(ends[1]);
  }

  void SendBytes(const std::string& bytes, size_t descriptors = 0) {
    const base::UniqueFd fd(eventfd(0, EFD_CLOEXEC));
    const std::vector<int> fds(descriptors, fd.get());
    std::vector<char> control(CMSG_SPACE(descriptors * sizeof(int)));
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (descriptors != 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* part = CMSG_FIRSTHDR(&message);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
      std::memcpy(CMSG_DATA(part), fds.data(), descriptors * sizeof(int));
    }
    ASSERT_EQ(sendmsg(peer_.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }

  // The next message, which must be there.
  ControlMessage Next() {
    ControlMessage message;
    const auto received = channel_->Receive(&message);
    EXPECT_TRUE(received) << received.error();
    EXPECT_EQ(received.value_or(Received::kClosed), Received::kMessage);
    return message;
  }
  Received Look() {
    ControlMessage message;
    const auto received = channel_->Receive(&message);
    EXPECT_TRUE(received) << received.error();
    return received.value_or(Received::kMessage);
  }
  std::string Error() {
    ControlMessage message;
    const auto received = channel_->Receive(&message);
    return received ? "no error" : received.error();
  }

  std::unique_ptr<ControlChannel> channel_;
  base::UniqueFd peer_;
};

TEST_F(ControlChannelTest, WholeMessages_OneAfterTheOther) {
  EXPECT_EQ(Look(), Received::kNothingYet);
  SendBytes(Encode(3, "abc") + Encode(4, "") + Encode(65535, std::string(VGPU_CONTROL_PAYLOAD_MAX, 'x')));
  ControlMessage message = Next();
  EXPECT_EQ(message.type, 3u);
  EXPECT_EQ(std::string(message.payload.begin(), message.payload.end()), "abc");
  message = Next();
  EXPECT_EQ(message.type, 4u);
  EXPECT_TRUE(message.payload.empty());
  message = Next();
  EXPECT_EQ(message.type, 65535u);
  EXPECT_EQ(message.payload.size(), VGPU_CONTROL_PAYLOAD_MAX);
  EXPECT_EQ(Look(), Received::kNothingYet);
}

TEST_F(ControlChannelTest, ByteByByte_SameMessages) {
  const std::string bytes = Encode(3, "abc") + Encode(4, "") + Encode(5, "defg");
  std::vector<std::pair<uint32_t, std::string>> messages;
  for (const char byte : bytes) {
    SendBytes(std::string(1, byte));
    ControlMessage message;
    const auto received = channel_->Receive(&message);
    ASSERT_TRUE(received) << received.error();
    if (*received == Received::kMessage) {
      messages.emplace_back(message.type, std::string(message.payload.begin(), message.payload.end()));
    }
  }
  EXPECT_EQ(messages, (std::vector<std::pair<uint32_t, std::string>>{{3, "abc"}, {4, ""}, {5, "defg"}}));
}

TEST_F(ControlChannelTest, Descriptors_BelongToTheirMessage) {
  const size_t before = OpenDescriptors();
  SendBytes(Encode(1, "a"), 1);
  SendBytes(Encode(2, "b"));
  SendBytes(Encode(3, "c"), VGPU_CONTROL_FDS_MAX);
  EXPECT_EQ(Next().fds.size(), 1u);
  EXPECT_EQ(Next().fds.size(), 0u);
  {
    const ControlMessage message = Next();
    EXPECT_EQ(message.fds.size(), VGPU_CONTROL_FDS_MAX);
    for (const PeerFd& fd : message.fds) EXPECT_GE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 1);
    EXPECT_EQ(OpenDescriptors(), before + VGPU_CONTROL_FDS_MAX);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ControlChannelTest, TooManyDescriptors_RefusedAndAllClosed) {
  const size_t before = OpenDescriptors();
  for (const size_t count : {size_t{VGPU_CONTROL_FDS_MAX} + 1, size_t{7}, size_t{64}, size_t{253}}) {
    Connect();
    SendBytes(Encode(1, "a"), count);
    EXPECT_EQ(Error(), "more than 5 descriptors with one message") << count;
    channel_.reset();
    peer_.reset();
    EXPECT_EQ(OpenDescriptors(), before - 2) << count << " descriptors leaked";
  }
}

// Some with each byte: the limit is of the message, not of a read.
TEST_F(ControlChannelTest, TooManyDescriptorsInPortions_Refused) {
  const size_t before = OpenDescriptors();
  const std::string bytes = Encode(1, "abcd");
  for (size_t i = 0; i <= VGPU_CONTROL_FDS_MAX; ++i) SendBytes(bytes.substr(i, 1), 1);
  EXPECT_EQ(Error(), "more than 5 descriptors with one message");
  channel_.reset();
  peer_.reset();
  EXPECT_EQ(OpenDescriptors(), before - 2);
}

TEST_F(ControlChannelTest, DescriptorsOfAnUnfinishedMessage_ClosedWithTheChannel) {
  const size_t before = OpenDescriptors();
  SendBytes(Encode(1, "abcd").substr(0, 18), 3);
  EXPECT_EQ(Look(), Received::kNothingYet);
  EXPECT_EQ(OpenDescriptors(), before + 3);
  channel_.reset();
  EXPECT_EQ(OpenDescriptors(), before - 1);
}

TEST_F(ControlChannelTest, WrongHeaders_Refused) {
  const vgpu_msg_header right{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, 1, 0, 0};
  const struct {
    void (*damage)(vgpu_msg_header*);
    const char* says;
  } cases[] = {
      {[](vgpu_msg_header* h) { h->magic ^= 1; }, "no vgpu-ring control message"},
      {[](vgpu_msg_header* h) { h->version = 0; }, "version 0 instead of 1"},
      {[](vgpu_msg_header* h) { h->version = 2; }, "version 2 instead of 1"},
      {[](vgpu_msg_header* h) { h->size = VGPU_CONTROL_PAYLOAD_MAX + 1; }, "4097 bytes; at most 4096"},
      {[](vgpu_msg_header* h) { h->size = ~0u; }, "4294967295 bytes; at most 4096"},
  };
  for (const auto& [damage, says] : cases) {
    Connect();
    vgpu_msg_header header = right;
    damage(&header);
    SendBytes(std::string(reinterpret_cast<const char*>(&header), sizeof header));
    const std::string error = Error();
    EXPECT_NE(error.find(says), std::string::npos) << error;
  }
}

TEST_F(ControlChannelTest, Closed_BetweenMessagesIsAnEndAndWithinIsAnError) {
  const std::string bytes = Encode(1, "abc");
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Connect();
    if (cut > 0) SendBytes(bytes.substr(0, cut));
    const bool look_between = cut % 2 == 0;
    if (look_between && cut < bytes.size()) {
      EXPECT_EQ(Look(), Received::kNothingYet);
    }
    peer_.reset();
    if (cut == bytes.size()) {
      EXPECT_EQ(Next().type, 1u);
    }
    if (cut == 0 || cut == bytes.size()) {
      EXPECT_EQ(Look(), Received::kClosed);
    } else {
      EXPECT_EQ(Error(), "the connection ended in the middle of a message") << cut;
    }
  }
}

TEST_F(ControlChannelTest, As_NeedsTheExactSize) {
  SendBytes(Encode(1, std::string(8, 'x')));
  const ControlMessage message = Next();
  EXPECT_NE(message.As<vgpu_msg_hello>(), nullptr);
  EXPECT_EQ(message.As<vgpu_msg_grant>(), nullptr);
  EXPECT_EQ(message.As<uint32_t>(), nullptr);
}

// A peer that takes a little at a time gets everything, in order, and never all of it at once.
TEST_F(ControlChannelTest, SlowReader_GetsEveryByteInOrder) {
  std::string sent, got;
  std::vector<char> buffer(3001);
  for (int i = 0; i < 2000; ++i) {
    const std::string payload(1 + i % 2000, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(channel_->Send(7, payload));
    sent += Encode(7, payload);
    const ssize_t bytes = recv(peer_.get(), buffer.data(), buffer.size() / 4, MSG_DONTWAIT);
    if (bytes > 0) got.append(buffer.data(), static_cast<size_t>(bytes));
  }
  EXPECT_TRUE(channel_->pending()) << "the socket took everything: this test proves nothing";
  while (got.size() < sent.size()) {
    ASSERT_TRUE(channel_->Flush());
    const ssize_t bytes = recv(peer_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    ASSERT_GT(bytes, 0);
    got.append(buffer.data(), static_cast<size_t>(bytes));
  }
  EXPECT_FALSE(channel_->pending());
  EXPECT_TRUE(got == sent);
}

TEST_F(ControlChannelTest, PeerThatNeverReads_IsGivenUpAtABound) {
  const std::string payload(1 << 20, 'x');
  size_t accepted = 0;
  while (channel_->Send(VGPU_MSG_STATUS_REPLY, payload)) ASSERT_LT(++accepted, 100u);
  EXPECT_GE(accepted, VGPU_CONTROL_STATUS_BYTES_MAX >> 20) << "the longest status does not fit";
}

TEST_F(ControlChannelTest, PeerGone_SendSaysSo) {
  peer_.reset();
  EXPECT_FALSE(channel_->Send(1, "x"));
}

}  // namespace
}  // namespace vgpu::mediator
