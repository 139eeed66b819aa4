// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/inspect_task.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "base/mapping.h"
#include "base/memfd.h"
#include "base/missing_pages.h"

namespace vgpu::mediator {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kBytes = 64 * kPage;

class Vm {
 public:
  Vm() {
    owner_ = std::move(base::MakeOwnedMemory("vgpu-test", kBytes).value());
    ours_ = std::move(base::MapShared(owner_.fd.get(), kBytes).value());
    base::missing_pages::Guard(ours_.data(), kBytes);
    EXPECT_EQ(madvise(ours_.data(), kBytes, MADV_POPULATE_WRITE), 0);
  }
  void Punch(size_t page) {
    EXPECT_EQ(fallocate(owner_.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(page * kPage), kPage),
              0);
  }
  void Refill(size_t page) { owner_.mapping.data()[page * kPage] = 1; }
  InspectTask::Subject subject() { return {1, mapped_, ours_.data(), kBytes}; }
  void Unmap() {
    mapped_->store(false);
    ours_ = base::Mapping();
  }
  bool Whole() const { return base::missing_pages::Mapped(ours_.data(), kBytes); }

 private:
  base::OwnedMemory owner_;
  base::Mapping ours_;
  const std::shared_ptr<std::atomic<bool>> mapped_ = std::make_shared<std::atomic<bool>>(true);
};

class InspectTaskTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto supported = base::missing_pages::Supported(); !supported)
      GTEST_SKIP() << supported.error();
  }
  // Runs a task to its end, and returns what it found of each.
  std::vector<Finding> Inspect(std::vector<InspectTask::Subject> subjects) {
    std::vector<Finding> findings;
    steps_ = 0;
    InspectTask task(std::move(subjects), [&](const std::vector<InspectTask::Subject>& inspected) {
      for (const auto& subject : inspected) findings.push_back(subject.finding);
    });
    for (bool done = false; !done && steps_ < 1000; ++steps_) done = task.Step();
    EXPECT_TRUE(findings.empty()) << "before Done";
    task.Done();
    return findings;
  }

  int steps_ = 0;
};

TEST_F(InspectTaskTest, NobodyToInspect_Done) {
  EXPECT_TRUE(Inspect({}).empty());
  EXPECT_EQ(steps_, 1);
}

TEST_F(InspectTaskTest, WholeLostAndReplaced_ToldApart) {
  Vm first, lost, replaced, both, last;
  lost.Punch(63);
  replaced.Punch(0);
  replaced.Refill(0);
  both.Punch(3);
  both.Punch(40);
  both.Refill(3);
  const auto findings =
      Inspect({first.subject(), lost.subject(), replaced.subject(), both.subject(), last.subject()});
  EXPECT_EQ(findings, (std::vector<Finding>{Finding::kWhole, Finding::kLost, Finding::kReplaced,
                                            Finding::kLost, Finding::kWhole}));
  EXPECT_EQ(steps_, 5) << "a step for each, so that an attach waits for one only";
}

// What was found once is not found again: each time that pages are taken away counts by itself.
TEST_F(InspectTaskTest, ReplacedOnce_WholeAfterwards) {
  Vm vm;
  vm.Punch(7);
  vm.Refill(7);
  EXPECT_EQ(Inspect({vm.subject()}), std::vector<Finding>{Finding::kReplaced});
  EXPECT_TRUE(vm.Whole());
  EXPECT_EQ(Inspect({vm.subject()}), std::vector<Finding>{Finding::kWhole});
}

TEST_F(InspectTaskTest, UnmappedMeanwhile_OthersAreInspected) {
  Vm gone, lost;
  const auto subject = gone.subject();
  gone.Unmap();
  lost.Punch(1);
  EXPECT_EQ(Inspect({subject, lost.subject()}).at(1), Finding::kLost);
}

}  // namespace
}  // namespace vgpu::mediator
