// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <stdexcept>

#include "base/unique_fd.h"

namespace vgpu::bench::socket {
namespace {

class ChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    here_ = base::UniqueFd(ends[0]);
    there_ = base::UniqueFd(ends[1]);
  }

  base::UniqueFd here_, there_;
  Message sent_{};
  Message got_{};
};

TEST_F(ChannelTest, TakesWhatWasSent) {
  Receiver receiver(there_.get());
  EXPECT_FALSE(receiver.Take(false, &got_));
  for (const uint32_t bytes : {0u, 1u, kBytesMax}) {
    sent_.header = {bytes, bytes + 1};
    sent_.body.fill(static_cast<uint8_t>(bytes + 7));
    Send(here_.get(), sent_);
    ASSERT_TRUE(receiver.Take(true, &got_));
    EXPECT_EQ(std::memcmp(&got_, &sent_, sizeof(Header) + bytes), 0);
    EXPECT_FALSE(receiver.Take(false, &got_));
  }
}

TEST_F(ChannelTest, WaitsForTheRest) {
  Receiver receiver(there_.get());
  sent_.header = {8, 1};
  const auto* bytes = reinterpret_cast<const char*>(&sent_);
  for (size_t i = 0; i < sizeof(Header) + 8; ++i) {
    EXPECT_FALSE(receiver.Take(false, &got_)) << i;
    ASSERT_EQ(send(here_.get(), bytes + i, 1, 0), 1);
  }
  EXPECT_TRUE(receiver.Take(false, &got_));
}

TEST_F(ChannelTest, SaysWhenNobodyIsThere) {
  Receiver receiver(there_.get());
  here_.reset();
  EXPECT_FALSE(receiver.Take(true, &got_));
  EXPECT_THROW(Send(there_.get(), sent_), std::runtime_error);
}

}  // namespace
}  // namespace vgpu::bench::socket
