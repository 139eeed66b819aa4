// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/memory_thread.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <thread>
#include <vector>

#include "mediator/loop/uring_loop.h"

namespace vgpu::mediator {
namespace {

class TestTask final : public MemoryTask {
 public:
  TestTask(std::function<bool()> step, std::function<void()> done)
      : step_(std::move(step)), done_(std::move(done)) {}
  bool Step() override { return step_(); }
  void Done() override { done_(); }

 private:
  const std::function<bool()> step_;
  const std::function<void()> done_;
};

class MemoryThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(MakeUringLoop(8).value());
    memory_thread_ = std::move(MemoryThread::Create(loop_.get()).value());
  }
  void Submit(std::function<bool()> step, std::function<void()> done) {
    memory_thread_->Submit(std::make_unique<TestTask>(std::move(step), std::move(done)));
  }
  void RunUntil(const int& count, int wanted) {
    while (count < wanted) loop_->Sleep();
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<MemoryThread> memory_thread_;
};

TEST_F(MemoryThreadTest, Steps_RunOnTheThreadAndDoneOnTheLoop) {
  std::thread::id step_thread, done_thread;
  int done = 0;
  Submit(
      [&] {
        step_thread = std::this_thread::get_id();
        return true;
      },
      [&] {
        done_thread = std::this_thread::get_id();
        ++done;
      });
  RunUntil(done, 1);
  EXPECT_NE(step_thread, std::this_thread::get_id());
  EXPECT_EQ(done_thread, std::this_thread::get_id());
}

TEST_F(MemoryThreadTest, ManyOfOneStep_InOrder) {
  std::vector<int> order;
  int done = 0;
  for (int i = 0; i < 1000; ++i) {
    Submit([] { return true; },
           [&, i] {
             order.push_back(i);
             ++done;
           });
  }
  RunUntil(done, 1000);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST_F(MemoryThreadTest, LongOne_TakesTurnsWithAShortOne) {
  std::binary_semaphore short_submitted(0);
  int steps = 0, steps_at_short = 0, done = 0;
  Submit(
      [&] {
        if (steps == 0) short_submitted.acquire();
        return ++steps == 1000;
      },
      [&] { ++done; });
  Submit(
      [&] {
        steps_at_short = steps;
        return true;
      },
      [&] { ++done; });
  short_submitted.release();
  RunUntil(done, 2);
  EXPECT_EQ(steps_at_short, 1) << "it has the very next turn";
}

TEST_F(MemoryThreadTest, SubmitWithinDone_Works) {
  int done = 0;
  Submit([] { return true; },
         [&] {
           ++done;
           Submit([] { return true; }, [&] { ++done; });
         });
  RunUntil(done, 2);
}

TEST_F(MemoryThreadTest, LoopDoesNotWaitForAStep) {
  std::binary_semaphore go(0);
  int done = 0;
  Submit(
      [&] {
        go.acquire();
        return true;
      },
      [&] { ++done; });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(loop_->Poll(), 0);
  go.release();
  RunUntil(done, 1);
}

TEST_F(MemoryThreadTest, End_DoesNotWaitForTasksThatGoOn) {
  int done = 0;
  Submit([] { return false; }, [&] { ++done; });
  memory_thread_.reset();
  EXPECT_EQ(done, 0);
}

}  // namespace
}  // namespace vgpu::mediator
