// SPDX-License-Identifier: Apache-2.0
#include "mediator/background.h"

#include <gtest/gtest.h>

#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

namespace vgpu::mediator {
namespace {

class BackgroundTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(EventLoop::Create(8).value());
    background_ = std::move(Background::Create(loop_.get()).value());
  }
  // Runs the loop until `count` completions have run.
  void RunUntil(const int& completions, int count) {
    while (completions < count) loop_->Sleep();
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Background> background_;
};

TEST_F(BackgroundTest, Job_RunsOnTheThreadAndItsCompletionOnTheLoop) {
  std::thread::id job_thread, completion_thread;
  int completions = 0;
  background_->Submit([&]() -> Background::Completion {
    job_thread = std::this_thread::get_id();
    return [&] {
      completion_thread = std::this_thread::get_id();
      ++completions;
    };
  });
  RunUntil(completions, 1);
  EXPECT_NE(job_thread, std::this_thread::get_id());
  EXPECT_EQ(completion_thread, std::this_thread::get_id());
}

TEST_F(BackgroundTest, ManyJobs_InOrder) {
  std::vector<int> jobs, done;
  int completions = 0;
  for (int i = 0; i < 1000; ++i) {
    background_->Submit([&, i]() -> Background::Completion {
      jobs.push_back(i);
      return [&, i] {
        done.push_back(i);
        ++completions;
      };
    });
  }
  RunUntil(completions, 1000);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(jobs[static_cast<size_t>(i)], i);
    EXPECT_EQ(done[static_cast<size_t>(i)], i);
  }
}

TEST_F(BackgroundTest, JobWithoutACompletion_IsFine) {
  int completions = 0;
  background_->Submit([]() -> Background::Completion { return {}; });
  background_->Submit([&]() -> Background::Completion { return [&] { ++completions; }; });
  RunUntil(completions, 1);
}

TEST_F(BackgroundTest, SubmitWithinACompletion_Works) {
  int completions = 0;
  background_->Submit([&]() -> Background::Completion {
    return [&] {
      ++completions;
      background_->Submit([&]() -> Background::Completion { return [&] { ++completions; }; });
    };
  });
  RunUntil(completions, 2);
}

TEST_F(BackgroundTest, LoopDoesNotWaitForALongJob) {
  std::binary_semaphore go(0);
  int completions = 0;
  background_->Submit([&]() -> Background::Completion {
    go.acquire();
    return [&] { ++completions; };
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(loop_->Poll(), 0);
  go.release();
  RunUntil(completions, 1);
}

TEST_F(BackgroundTest, JobsCaptures_AreReleasedOnTheThread) {
  struct Captured {
    explicit Captured(std::thread::id* where) : where(where) {}
    ~Captured() { *where = std::this_thread::get_id(); }
    std::thread::id* where;
  };
  std::thread::id released_by;
  int completions = 0;
  background_->Submit(
      [&completions, captured = std::make_shared<Captured>(&released_by)]() -> Background::Completion {
        return [&completions] { ++completions; };
      });
  RunUntil(completions, 1);
  EXPECT_NE(released_by, std::thread::id());
  EXPECT_NE(released_by, std::this_thread::get_id());
}

TEST_F(BackgroundTest, End_RunsWhatWasSubmittedAndDropsCompletions) {
  int jobs = 0, completions = 0;
  for (int i = 0; i < 50; ++i) {
    background_->Submit([&]() -> Background::Completion {
      ++jobs;
      return [&] { ++completions; };
    });
  }
  background_.reset();
  EXPECT_EQ(jobs, 50);
  EXPECT_EQ(completions, 0);
}

}  // namespace
}  // namespace vgpu::mediator
