// SPDX-License-Identifier: Apache-2.0
#include "base/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace vgpu::base {
namespace {

constexpr FrameFormat kFormat{
    .magic = 0x1234abcd, .version = 3, .fds_max = 5, .payload_max = 4096, .queued_max = 8 << 20};

struct Pair {
  uint64_t first;
  uint64_t second;
};

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::string Bytes(const FrameHeader& header) {
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

std::string Encode(uint32_t type, const std::string& payload) {
  return Bytes(HeaderOf(kFormat, type, payload.size())) + payload;
}

std::string Text(const Frame<UniqueFd>& frame) { return {frame.payload.begin(), frame.payload.end()}; }

class ChannelTest : public testing::Test {
 protected:
  ChannelTest() { Connect(kFormat); }

  void Connect(const FrameFormat& format) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    channel_ = std::make_unique<Channel>(UniqueFd(ends[0]), format);
    peer_ = UniqueFd(ends[1]);
  }

  // Sends anything, with as many descriptors.
  void SendBytes(const std::string& bytes, size_t descriptors = 0) {
    const UniqueFd fd(eventfd(0, EFD_CLOEXEC));
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

  // The next frame, which must be there.
  Frame<UniqueFd> Next() {
    Frame<UniqueFd> frame;
    const auto received = channel_->Receive(&frame);
    EXPECT_TRUE(received && *received == Received::kFrame);
    return frame;
  }
  Received Check() {
    Frame<UniqueFd> frame;
    const auto received = channel_->Receive(&frame);
    EXPECT_TRUE(received);
    return received.value_or(Received::kFrame);
  }
  void ExpectFault(ChannelFault fault, uint32_t value = 0) {
    Frame<UniqueFd> frame;
    const auto received = channel_->Receive(&frame);
    ASSERT_FALSE(received);
    EXPECT_EQ(received.error().fault, fault);
    EXPECT_EQ(received.error().value, value);
  }

  std::unique_ptr<Channel> channel_;
  UniqueFd peer_;
};

TEST_F(ChannelTest, WholeFrames_OneAfterTheOther) {
  EXPECT_EQ(Check(), Received::kNothingYet);
  SendBytes(Encode(3, "abc") + Encode(4, "") + Encode(65535, std::string(kFormat.payload_max, 'x')));
  Frame<UniqueFd> frame = Next();
  EXPECT_EQ(frame.type, 3u);
  EXPECT_EQ(Text(frame), "abc");
  frame = Next();
  EXPECT_EQ(frame.type, 4u);
  EXPECT_TRUE(frame.payload.empty());
  frame = Next();
  EXPECT_EQ(frame.type, 65535u);
  EXPECT_EQ(frame.payload.size(), kFormat.payload_max);
  EXPECT_EQ(Check(), Received::kNothingYet);
}

TEST_F(ChannelTest, ByteByByte_SameFrames) {
  const std::string bytes = Encode(3, "abc") + Encode(4, "") + Encode(5, "defg");
  std::vector<std::pair<uint32_t, std::string>> frames;
  for (const char byte : bytes) {
    SendBytes(std::string(1, byte));
    Frame<UniqueFd> frame;
    const auto received = channel_->Receive(&frame);
    ASSERT_TRUE(received);
    if (*received == Received::kFrame) frames.emplace_back(frame.type, Text(frame));
  }
  EXPECT_EQ(frames, (std::vector<std::pair<uint32_t, std::string>>{{3, "abc"}, {4, ""}, {5, "defg"}}));
}

// Frames of any length with any number of descriptors, cut anywhere, and looked for at any time.
TEST_F(ChannelTest, PortionsOfAnySize_SameFrames) {
  const char* given = std::getenv("VGPU_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("VGPU_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const auto below = [&random](size_t bound) { return static_cast<size_t>(random() % bound); };
  const size_t before = OpenDescriptors();
  for (int round = 0; round < 300; ++round) {
    const size_t length = below(5) == 0 ? below(kFormat.payload_max + 1) : below(40);
    const std::string payload(length, static_cast<char>('a' + round % 26));
    const size_t fds = below(kFormat.fds_max + 1);
    const std::string bytes = Encode(static_cast<uint32_t>(round), payload);
    for (size_t sent = 0; sent < bytes.size();) {
      const size_t portion = 1 + below(bytes.size() - sent);
      SendBytes(bytes.substr(sent, portion), sent == 0 ? fds : 0);
      sent += portion;
      if (sent < bytes.size() && below(2) == 0) {
        ASSERT_EQ(Check(), Received::kNothingYet);
      }
    }
    const Frame<UniqueFd> frame = Next();
    ASSERT_EQ(frame.type, static_cast<uint32_t>(round));
    ASSERT_EQ(Text(frame), payload);
    ASSERT_EQ(frame.fds.size(), fds);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ChannelTest, Descriptors_BelongToTheirFrame) {
  const size_t before = OpenDescriptors();
  SendBytes(Encode(1, "a"), 1);
  SendBytes(Encode(2, "b"));
  SendBytes(Encode(3, "c"), kFormat.fds_max);
  EXPECT_EQ(Next().fds.size(), 1u);
  EXPECT_EQ(Next().fds.size(), 0u);
  {
    const Frame<UniqueFd> frame = Next();
    EXPECT_EQ(frame.fds.size(), kFormat.fds_max);
    for (const UniqueFd& fd : frame.fds) EXPECT_GE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 1);
    EXPECT_EQ(OpenDescriptors(), before + kFormat.fds_max);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ChannelTest, TooManyDescriptors_RefusedAndAllClosed) {
  const size_t before = OpenDescriptors();
  for (const size_t count : {size_t{kFormat.fds_max} + 1, size_t{7}, size_t{64}, size_t{253}}) {
    Connect(kFormat);
    SendBytes(Encode(1, "a"), count);
    ExpectFault(ChannelFault::kTooManyFds);
    channel_.reset();
    peer_.reset();
    EXPECT_EQ(OpenDescriptors(), before - 2) << count << " descriptors leaked";
  }
}

// Some with each byte: the limit is of the frame, not of a read.
TEST_F(ChannelTest, TooManyDescriptorsInPortions_Refused) {
  const size_t before = OpenDescriptors();
  const std::string bytes = Encode(1, "abcd");
  for (size_t i = 0; i <= kFormat.fds_max; ++i) SendBytes(bytes.substr(i, 1), 1);
  ExpectFault(ChannelFault::kTooManyFds);
  channel_.reset();
  peer_.reset();
  EXPECT_EQ(OpenDescriptors(), before - 2);
}

TEST_F(ChannelTest, DescriptorsOfAnUnfinishedFrame_ClosedWithTheChannel) {
  const size_t before = OpenDescriptors();
  SendBytes(Encode(1, "abcd").substr(0, 18), 3);
  EXPECT_EQ(Check(), Received::kNothingYet);
  EXPECT_EQ(OpenDescriptors(), before + 3);
  channel_.reset();
  EXPECT_EQ(OpenDescriptors(), before - 1);
}

TEST_F(ChannelTest, FormatWithoutDescriptors_DropsThem) {
  FrameFormat format = kFormat;
  format.fds_max = 0;
  Connect(format);
  const size_t before = OpenDescriptors();
  for (const size_t count : {size_t{1}, size_t{253}}) {
    SendBytes(Encode(1, "a"), count);
    EXPECT_EQ(Text(Next()), "a");
    EXPECT_EQ(OpenDescriptors(), before);
  }
}

TEST_F(ChannelTest, NoRoomForDescriptors_SaysSo) {
  SendBytes(Encode(1, "a"), 3);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{0, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  ExpectFault(ChannelFault::kNoFdsLeft);
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_F(ChannelTest, WrongHeaders_Refused) {
  const struct {
    void (*damage)(FrameHeader*);
    ChannelFault fault;
    uint32_t value;
  } cases[] = {
      {[](FrameHeader* h) { h->magic ^= 1; }, ChannelFault::kForeign, 0},
      {[](FrameHeader* h) { h->version = 0; }, ChannelFault::kVersion, 0},
      {[](FrameHeader* h) { h->version = 4; }, ChannelFault::kVersion, 4},
      {[](FrameHeader* h) { h->size = kFormat.payload_max + 1; }, ChannelFault::kTooLong,
       kFormat.payload_max + 1},
      {[](FrameHeader* h) { h->size = ~0u; }, ChannelFault::kTooLong, ~0u},
  };
  for (const auto& [damage, fault, value] : cases) {
    Connect(kFormat);
    FrameHeader header = HeaderOf(kFormat, 1, 0);
    damage(&header);
    SendBytes(Bytes(header));
    ExpectFault(fault, value);
  }
}

TEST_F(ChannelTest, Garbage_IsForeign) {
  SendBytes("GET / HTTP/1.1\r\n\r\n");
  ExpectFault(ChannelFault::kForeign);
}

TEST_F(ChannelTest, Closed_BetweenFramesIsAnEndAndWithinIsAnError) {
  const std::string bytes = Encode(1, "abc");
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Connect(kFormat);
    if (cut > 0) SendBytes(bytes.substr(0, cut));
    const bool check_between = cut % 2 == 0;
    if (check_between && cut < bytes.size()) {
      EXPECT_EQ(Check(), Received::kNothingYet);
    }
    peer_.reset();
    if (cut == bytes.size()) {
      EXPECT_EQ(Next().type, 1u);
    }
    if (cut == 0 || cut == bytes.size()) {
      EXPECT_EQ(Check(), Received::kClosed);
    } else {
      ExpectFault(ChannelFault::kCutOff);
    }
  }
}

TEST_F(ChannelTest, As_NeedsTheExactSize) {
  SendBytes(Encode(1, std::string(sizeof(Pair), 'x')));
  const Frame<UniqueFd> frame = Next();
  EXPECT_NE(frame.As<Pair>(), nullptr);
  EXPECT_EQ(frame.As<uint64_t>(), nullptr);
  EXPECT_EQ(frame.As<FrameFormat>(), nullptr);
}

// A peer that takes a little at a time gets everything, in order, and never all of it at once.
TEST_F(ChannelTest, SlowReader_GetsEveryByteInOrder) {
  std::string sent, got;
  std::vector<char> buffer(3001);
  for (int i = 0; i < 2000; ++i) {
    const std::string payload(1 + static_cast<size_t>(i) % 2000, static_cast<char>('a' + i % 26));
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

TEST_F(ChannelTest, PeerThatNeverReads_IsGivenUpAtABound) {
  const std::string payload(1 << 20, 'x');
  size_t accepted = 0;
  errno = 0;
  while (channel_->Send(1, payload)) ASSERT_LT(++accepted, 100u);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(accepted, (kFormat.queued_max >> 20) - 1);
}

TEST_F(ChannelTest, PeerGone_SendSaysSo) {
  peer_.reset();
  EXPECT_FALSE(channel_->Send(1, std::string_view("x")));
  EXPECT_FALSE(SendFrame(channel_->fd(), kFormat, 1, "x"));
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(ChannelTest, FrameSentAtOnce_ArrivesWithItsDescriptors) {
  const Pair pair{1, 2};
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const int fds[] = {event.get(), event.get()};
  EXPECT_TRUE(SendFrame(peer_.get(), kFormat, 9, {reinterpret_cast<const char*>(&pair), sizeof pair}, fds));
  EXPECT_TRUE(SendFrame(peer_.get(), kFormat, 10, {}));
  const Frame<UniqueFd> frame = Next();
  EXPECT_EQ(frame.type, 9u);
  EXPECT_EQ(frame.fds.size(), 2u);
  ASSERT_NE(frame.As<Pair>(), nullptr);
  EXPECT_EQ(frame.As<Pair>()->second, 2u);
  EXPECT_EQ(Next().type, 10u);
}

TEST_F(ChannelTest, FrameSentAtOnceToOneWhoDoesNotRead_WholeOrNotAtAll) {
  const std::string payload(4096, 'x');
  size_t sent = 0;
  while (SendFrame(peer_.get(), kFormat, 1, payload)) ASSERT_LT(++sent, 10'000u);
  EXPECT_EQ(errno, EAGAIN);
  for (size_t i = 0; i < sent; ++i) ASSERT_EQ(Text(Next()), payload);
  EXPECT_EQ(Check(), Received::kNothingYet) << "a part of the last one came";
}

TEST_F(ChannelTest, Become_KeepsTheNumberAndForgetsWhatWasHalf) {
  SendBytes(Encode(1, "abc").substr(0, 17));
  EXPECT_EQ(Check(), Received::kNothingYet);
  Channel first = std::move(*channel_);
  const UniqueFd firsts_peer = std::move(peer_);
  Connect(kFormat);
  SendBytes(Encode(2, "of the second").substr(0, 18));
  EXPECT_EQ(Check(), Received::kNothingYet);
  const int number = first.fd();
  first.Become(std::move(*channel_));
  channel_.reset();
  EXPECT_EQ(first.fd(), number);
  char byte;
  EXPECT_EQ(recv(firsts_peer.get(), &byte, 1, MSG_DONTWAIT), 0) << "the first connection is still open";
  SendBytes(Encode(2, "of the second").substr(18));
  Frame<UniqueFd> frame;
  const auto received = first.Receive(&frame);
  ASSERT_TRUE(received && *received == Received::kFrame);
  EXPECT_EQ(Text(frame), "of the second");
}

}  // namespace
}  // namespace vgpu::base
