// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <semaphore>
#include <thread>

namespace vgpu::mediator {
namespace {

struct Letter {
  uint64_t number = 0;
  uint64_t twice = 0;  // torn, if it is not
};

Letter Of(uint64_t number) { return {number, 2 * number}; }

bool Readable(int fd, int patience_ms) {
  pollfd watched{fd, POLLIN, 0};
  return poll(&watched, 1, patience_ms) == 1;
}

TEST(Mailbox, Empty_GivesNothing) {
  const auto mailbox = std::move(Mailbox<Letter>::Create(4).value());
  Letter letter = Of(7);
  EXPECT_TRUE(mailbox->empty());
  EXPECT_FALSE(mailbox->Take(&letter));
  EXPECT_EQ(letter.number, 7u);
  EXPECT_FALSE(Readable(mailbox->fd(), 0));
}

TEST(Mailbox, FullAgainAndAgain_InOrder) {
  constexpr uint64_t kCapacity = 5;  // no power of two: it has room for more, never for fewer
  const auto mailbox = std::move(Mailbox<Letter>::Create(kCapacity).value());
  uint64_t posted = 0, taken = 0;
  for (int lap = 0; lap < 1000; ++lap) {
    for (uint64_t i = 0; i < kCapacity - static_cast<uint64_t>(lap % 3); ++i) mailbox->Post(Of(posted++));
    EXPECT_FALSE(mailbox->empty());
    for (Letter letter; mailbox->Take(&letter); ++taken) {
      ASSERT_EQ(letter.number, taken);
      ASSERT_EQ(letter.twice, 2 * taken);
    }
    ASSERT_EQ(taken, posted);
    ASSERT_TRUE(mailbox->empty());
  }
}

TEST(Mailbox, Post_WakesItsTaker) {
  const auto mailbox = std::move(Mailbox<Letter>::Create(4).value());
  mailbox->Post(Of(1));
  mailbox->Post(Of(2));
  EXPECT_TRUE(Readable(mailbox->fd(), 0));
  DrainEventfd(mailbox->fd());
  EXPECT_FALSE(Readable(mailbox->fd(), 0)) << "one drain is for all that came before it";
  Letter letter;
  EXPECT_TRUE(mailbox->Take(&letter));
  mailbox->Post(Of(3));
  EXPECT_TRUE(Readable(mailbox->fd(), 0)) << "each post wakes, whether there are others or not";
}

// A taker that sleeps whenever there is nothing, and a poster that is as fast as the room lets it be.
TEST(Mailbox, TwoThreads_NothingLostTornOrOutOfOrder) {
  constexpr uint64_t kLetters = 300'000;
  constexpr uint32_t kCapacity = 64;
  const auto mailbox = std::move(Mailbox<Letter>::Create(kCapacity).value());
  std::counting_semaphore<> room(kCapacity);
  std::thread poster([&] {
    for (uint64_t i = 0; i < kLetters; ++i) {
      room.acquire();
      mailbox->Post(Of(i));
    }
  });
  uint64_t taken = 0, wrong = 0;
  while (taken < kLetters) {
    if (!Readable(mailbox->fd(), 60'000)) {
      ADD_FAILURE() << "nobody woke the taker after " << taken;
      break;
    }
    DrainEventfd(mailbox->fd());
    for (Letter letter; mailbox->Take(&letter); ++taken) {
      wrong += letter.number != taken || letter.twice != 2 * taken ? 1 : 0;
      room.release();
    }
  }
  room.release(kLetters);  // after a failure
  poster.join();
  EXPECT_EQ(taken, kLetters);
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace vgpu::mediator
