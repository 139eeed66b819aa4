// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/eventfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <thread>

#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

constexpr uint64_t kFull = 0xfffffffffffffffe;

uint64_t Take(int fd) {
  uint64_t count = 0;
  EXPECT_EQ(read(fd, &count, sizeof count), static_cast<ssize_t>(sizeof count));
  return count;
}

// The flags that an owner can give its eventfd, or change at any time.
class OwnersEventfdTest : public testing::TestWithParam<int> {
 protected:
  const base::UniqueFd fd_{eventfd(0, GetParam())};
  bool Readable() const {
    pollfd watched{fd_.get(), POLLIN, 0};
    return poll(&watched, 1, 0) == 1;
  }
};

TEST_P(OwnersEventfdTest, Signal_AddsOneEach) {
  for (int i = 0; i < 1000; ++i) SignalOwnersEventfd(fd_.get());  // more than any queue of completions holds
  uint64_t sum = 0;
  while (Readable()) sum += Take(fd_.get());
  EXPECT_EQ(sum, 1000u);
}

TEST_P(OwnersEventfdTest, SignalWhenFull_ReturnsAtOnceAndStaysReadable) {
  ASSERT_EQ(write(fd_.get(), &kFull, sizeof kFull), static_cast<ssize_t>(sizeof kFull));
  for (int i = 0; i < 1000; ++i) SignalOwnersEventfd(fd_.get());
  EXPECT_TRUE(Readable());
  EXPECT_GE(Take(fd_.get()), 1u);
}

TEST_P(OwnersEventfdTest, Drain_NeverBlocks) {
  DrainEventfd(fd_.get());  // empty
  EXPECT_FALSE(Readable());
  SignalEventfd(fd_.get());
  DrainEventfd(fd_.get());
  EXPECT_FALSE(Readable());
}

TEST_P(OwnersEventfdTest, Signal_WakesASleeper) {
  std::thread sleeper([this] {
    pollfd watched{fd_.get(), POLLIN, 0};
    EXPECT_EQ(poll(&watched, 1, 60'000), 1);
  });
  SignalOwnersEventfd(fd_.get());
  sleeper.join();
}

INSTANTIATE_TEST_SUITE_P(Flags, OwnersEventfdTest, testing::Values(0, EFD_NONBLOCK, EFD_SEMAPHORE));

}  // namespace
}  // namespace vgpu::mediator
