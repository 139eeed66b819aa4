// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/uring_loop.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "mediator/loop/eventfd.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kWatchesMax = 64;
constexpr std::chrono::seconds kPatience{60};

base::UniqueFd MakeEventfd(int flags = 0) {
  return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | flags));
}

struct Handler final : ReadyHandler {
  int calls = 0;
  std::function<void()> act = [] {};
  void OnReady() override {
    ++calls;
    act();
  }
};

// An eventfd whose handler drains it.
struct Bell {
  base::UniqueFd fd = MakeEventfd();
  Handler handler;
  Bell() {
    handler.act = [this] { DrainEventfd(fd.get()); };
  }
  void Ring() { SignalEventfd(fd.get()); }
};

class EventLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = MakeUringLoop(kWatchesMax);
    ASSERT_TRUE(loop) << loop.error();
    loop_ = std::move(*loop);
  }
  // Polls, without ever sleeping, until the condition holds.
  bool PollUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_->Poll();
    }
    return true;
  }

  std::unique_ptr<EventLoop> loop_;
};

TEST_F(EventLoopTest, Signal_RunsTheHandlerOnceEach) {
  Bell bell;
  loop_->Watch(bell.fd.get(), &bell.handler);
  for (int i = 1; i <= 5; ++i) {
    bell.Ring();
    EXPECT_EQ(loop_->Sleep(), 1);
    EXPECT_EQ(bell.handler.calls, i);
  }
  for (int i = 0; i < 100; ++i) loop_->Poll();
  EXPECT_EQ(bell.handler.calls, 5);
}

TEST_F(EventLoopTest, Timer_IsReadyOnceForEachTimeThatItIsSet) {
  const base::UniqueFd timer = loop_->MakeTimer();
  ASSERT_TRUE(timer);
  uint64_t times = 0;
  Handler handler;
  handler.act = [&] { EXPECT_EQ(read(timer.get(), &times, sizeof times), ssize_t{sizeof times}); };
  loop_->Watch(timer.get(), &handler);
  for (int i = 1; i <= 2; ++i) {
    loop_->SetTimer(timer.get(), 1'000'000);
    EXPECT_EQ(loop_->Sleep(), 1);
    EXPECT_EQ(handler.calls, i);
    EXPECT_EQ(times, 1u);
  }
  EXPECT_LT(read(timer.get(), &times, sizeof times), 0);  // and does not block
}

// A loop that is never idle must hear of new things all the same.
TEST_F(EventLoopTest, PollOnly_SeesSignals) {
  Bell bell;
  loop_->Watch(bell.fd.get(), &bell.handler);
  loop_->Poll();
  for (int i = 1; i <= 5; ++i) {
    bell.Ring();
    ASSERT_TRUE(PollUntil([&] { return bell.handler.calls == i; }));
  }
}

TEST_F(EventLoopTest, PollOnly_SeesOthersBesideOneThatIsAlwaysReady) {
  Bell bell;
  Handler noisy;  // never drains
  const base::UniqueFd always = MakeEventfd();
  SignalEventfd(always.get());
  loop_->Watch(always.get(), &noisy);
  loop_->Watch(bell.fd.get(), &bell.handler);
  for (int i = 1; i <= 5; ++i) {
    bell.Ring();
    ASSERT_TRUE(PollUntil([&] { return bell.handler.calls == i; }));
  }
  const int before = noisy.calls;
  ASSERT_TRUE(PollUntil([&] { return noisy.calls >= before + 10; }));
}

TEST_F(EventLoopTest, PollOnly_SeesSignalsOfAnotherThread) {
  Bell bell;
  loop_->Watch(bell.fd.get(), &bell.handler);
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) bell.Ring();
  });
  const bool seen = PollUntil([&] { return bell.handler.calls >= 100; });
  stop = true;
  other.join();
  EXPECT_TRUE(seen);
}

// However many signals come between two looks, the watch stays.
TEST_F(EventLoopTest, Flood_NeverDisarms) {
  Bell bells[8];
  for (Bell& bell : bells) loop_->Watch(bell.fd.get(), &bell.handler);
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    while (!stop) {
      for (Bell& bell : bells) bell.Ring();
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    if (i % 100 == 0) std::this_thread::yield();  // let signals pile up
    loop_->Poll();
  }
  stop = true;
  flood.join();
  while (loop_->Poll() > 0) continue;
  for (Bell& bell : bells) {
    const int before = bell.handler.calls;
    bell.Ring();
    ASSERT_TRUE(PollUntil([&] { return bell.handler.calls > before; }));
  }
}

TEST_F(EventLoopTest, Unwatch_WithACompletionOutstanding) {
  Bell bell, other;
  const int id = loop_->Watch(bell.fd.get(), &bell.handler);
  loop_->Poll();
  bell.Ring();  // its completion is on the way
  loop_->Unwatch(id);
  EXPECT_EQ(loop_->Watch(other.fd.get(), &other.handler), id) << "the place is reused: the test wants that";
  for (int i = 0; i < 1000; ++i) loop_->Poll();
  EXPECT_EQ(bell.handler.calls, 0);
  EXPECT_EQ(other.handler.calls, 0) << "it got the completion of the watch before it";
  other.Ring();
  EXPECT_TRUE(PollUntil([&] { return other.handler.calls == 1; }));
}

TEST_F(EventLoopTest, UnwatchWithinAHandler_OfItselfAndOfAnother) {
  Bell first, second;
  int first_id = loop_->Watch(first.fd.get(), &first.handler);
  int second_id = loop_->Watch(second.fd.get(), &second.handler);
  const auto end_both = [&] {
    loop_->Unwatch(std::exchange(first_id, -1));
    loop_->Unwatch(std::exchange(second_id, -1));
  };
  first.handler.act = second.handler.act = end_both;
  first.Ring();
  second.Ring();
  for (int i = 0; i < 1000; ++i) loop_->Poll();
  EXPECT_EQ(first.handler.calls + second.handler.calls, 1);
}

TEST_F(EventLoopTest, WatchWithinAHandler_Works) {
  Bell first, second;
  first.handler.act = [&] {
    DrainEventfd(first.fd.get());
    loop_->Watch(second.fd.get(), &second.handler);
  };
  loop_->Watch(first.fd.get(), &first.handler);
  first.Ring();
  second.Ring();
  EXPECT_TRUE(PollUntil([&] { return second.handler.calls == 1; }));
}

// The file is closed and its number used again for another one, which must not wake anybody.
TEST_F(EventLoopTest, ClosedAfterUnwatch_NumberReused) {
  Bell bell;
  const int number = bell.fd.get();
  loop_->Unwatch(loop_->Watch(number, &bell.handler));
  bell.fd.reset();
  const base::UniqueFd reused = MakeEventfd();
  ASSERT_EQ(reused.get(), number);
  SignalEventfd(reused.get());
  for (int i = 0; i < 1000; ++i) loop_->Poll();
  EXPECT_EQ(bell.handler.calls, 0);
}

TEST_F(EventLoopTest, AllWatchesTaken_SaysSoAndRecovers) {
  std::vector<std::unique_ptr<Bell>> bells;
  std::vector<int> ids;
  for (uint32_t i = 0; i < kWatchesMax; ++i) {
    bells.push_back(std::make_unique<Bell>());
    ids.push_back(loop_->Watch(bells.back()->fd.get(), &bells.back()->handler));
    ASSERT_GE(ids.back(), 0);
  }
  Bell more;
  EXPECT_EQ(loop_->Watch(more.fd.get(), &more.handler), -1);
  loop_->Unwatch(-1);  // harmless
  loop_->Unwatch(ids[3]);
  ASSERT_GE(loop_->Watch(more.fd.get(), &more.handler), 0);
  more.Ring();
  EXPECT_TRUE(PollUntil([&] { return more.handler.calls == 1; }));
}

TEST_F(EventLoopTest, WatchAndUnwatchManyTimes_NeverRunsOut) {
  Bell bell;
  for (int i = 0; i < 20'000; ++i) {
    const int id = loop_->Watch(bell.fd.get(), &bell.handler);
    ASSERT_GE(id, 0);
    if (i % 3 == 0) bell.Ring();
    if (i % 7 == 0) loop_->Poll();
    loop_->Unwatch(id);
  }
  loop_->Watch(bell.fd.get(), &bell.handler);
  const int before = bell.handler.calls;
  bell.Ring();
  EXPECT_TRUE(PollUntil([&] { return bell.handler.calls > before; }));
}

TEST_F(EventLoopTest, Hangup_WakesToo) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const base::UniqueFd reader(ends[0]);
  base::UniqueFd writer(ends[1]);
  Handler handler;
  int id = loop_->Watch(reader.get(), &handler);
  handler.act = [&] { loop_->Unwatch(id); };
  writer.reset();
  loop_->Sleep();
  EXPECT_EQ(handler.calls, 1);
}

TEST_F(EventLoopTest, Sleeps_AreCounted) {
  Bell bell;
  loop_->Watch(bell.fd.get(), &bell.handler);
  bell.Ring();
  loop_->Poll();
  EXPECT_EQ(loop_->sleeps(), 0u);
  bell.Ring();
  loop_->Sleep();
  EXPECT_EQ(loop_->sleeps(), 1u);
}

// From now on this process gets EPERM from io_uring_enter.
void ForbidEnter() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(126);
}

// A loop that spun here would never end.
TEST(EventLoopDeathTest, EnterRefusedLater_SaidOnceAndNothingSpins) {
  const auto life = [] {
    auto loop = MakeUringLoop(4);
    if (!loop) _exit(2);
    int broken = 0;
    (*loop)->OnBroken([&broken] { ++broken; });
    ForbidEnter();
    struct : ReadyHandler {
      void OnReady() override {}
    } nothing;
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int i = 0; i < 100; ++i) {  // more than the queue holds
      const int watch = (*loop)->Watch(fd, &nothing);
      (*loop)->Sleep();
      (*loop)->Poll();
      (*loop)->Unwatch(watch);
    }
    _exit(broken == 1 && (*loop)->error().find("io_uring cannot be used") == 0 ? 0 : 1);
  };
  EXPECT_EXIT(life(), testing::ExitedWithCode(0), "");
  const auto start = [] {
    ForbidEnter();
    _exit(MakeUringLoop(4) ? 1 : 0);
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vgpu::mediator
