// SPDX-License-Identifier: Apache-2.0
// Real bus errors: a memfd that is not sealed is truncated under its mapping.
#include "base/bus_error_guard.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "base/mapping.h"
#include "base/unique_fd.h"

namespace vgpu::base {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kPages = 4;

// A mapping whose file ends after `pages_left` pages.
class Truncated {
 public:
  explicit Truncated(size_t pages_left) : fd_(memfd_create("vgpu-test", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(fd_.get(), kPages * kPage), 0);
    mapping_ = std::move(MapShared(fd_.get(), kPages * kPage).value());
    std::memset(mapping_.data(), 0x11, kPages * kPage);
    EXPECT_EQ(ftruncate(fd_.get(), static_cast<off_t>(pages_left * kPage)), 0);
  }
  char* data() const { return mapping_.data(); }
  volatile char& At(size_t page, size_t off = 0) { return mapping_.data()[page * kPage + off]; }

 private:
  UniqueFd fd_;
  Mapping mapping_;
};

class BusErrorGuardTest : public testing::Test {
 protected:
  void SetUp() override {
    bus_error_guard::Install();
    hits_before_ = bus_error_guard::TotalHits();
  }
  void TearDown() override { signal(SIGBUS, SIG_DFL); }
  uint64_t Hits() const { return bus_error_guard::TotalHits() - hits_before_; }
  uint64_t hits_before_ = 0;
};

TEST_F(BusErrorGuardTest, ReadAndWrite_GoOnInAnEmptyPage) {
  Truncated memory(1);
  const int id = bus_error_guard::Guard(memory.data(), kPages * kPage);
  ASSERT_GE(id, 0);
  EXPECT_EQ(memory.At(0), 0x11);
  EXPECT_EQ(Hits(), 0u);
  EXPECT_EQ(memory.At(2, 100), 0);
  EXPECT_EQ(bus_error_guard::Hits(id), 1u);
  EXPECT_EQ(Hits(), 1u);
  memory.At(2, 101) = 7;
  EXPECT_EQ(memory.At(2, 101), 7);
  EXPECT_EQ(bus_error_guard::Hits(id), 1u) << "a page is replaced once";
  memory.At(3, kPage - 1) = 9;
  EXPECT_EQ(memory.At(3, kPage - 1), 9);
  EXPECT_EQ(bus_error_guard::Hits(id), 2u);
  EXPECT_EQ(memory.At(0), 0x11) << "the good page stays";
  bus_error_guard::Forget(id);
}

TEST_F(BusErrorGuardTest, Hits_AreOfTheRangeThatWasHit) {
  Truncated first(0), second(0);
  const int first_id = bus_error_guard::Guard(first.data(), kPages * kPage);
  const int second_id = bus_error_guard::Guard(second.data(), kPages * kPage);
  second.At(0) = 1;
  EXPECT_EQ(bus_error_guard::Hits(first_id), 0u);
  EXPECT_EQ(bus_error_guard::Hits(second_id), 1u);
  bus_error_guard::Forget(first_id);
  bus_error_guard::Forget(second_id);
}

TEST_F(BusErrorGuardTest, OnAnotherThread_Survived) {
  Truncated memory(0);
  const int id = bus_error_guard::Guard(memory.data(), kPages * kPage);
  std::vector<std::thread> threads;
  for (size_t page = 0; page < kPages; ++page) threads.emplace_back([&memory, page] { memory.At(page) = 5; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bus_error_guard::Hits(id), kPages);
  bus_error_guard::Forget(id);
}

TEST_F(BusErrorGuardTest, NewRange_StartsWithoutHits) {
  Truncated memory(0);
  int id = bus_error_guard::Guard(memory.data(), kPages * kPage);
  memory.At(0) = 1;
  bus_error_guard::Forget(id);
  Truncated other(0);
  id = bus_error_guard::Guard(other.data(), kPages * kPage);
  EXPECT_EQ(bus_error_guard::Hits(id), 0u);
  bus_error_guard::Forget(id);
  EXPECT_EQ(bus_error_guard::Hits(-1), 0u);
  bus_error_guard::Forget(-1);
}

TEST_F(BusErrorGuardTest, ManyRanges_PlacesAreReusedAndBounded) {
  std::vector<int> ids;
  Truncated memory(1);
  for (int id = 0; id >= 0; ids.push_back(id)) id = bus_error_guard::Guard(memory.data(), kPage);
  EXPECT_EQ(ids.back(), -1);
  EXPECT_GE(ids.size(), 2000u) << "a thousand VMs have two ranges each";
  for (const int id : ids) bus_error_guard::Forget(id);
  const int id = bus_error_guard::Guard(memory.data(), kPage);
  EXPECT_GE(id, 0);
  bus_error_guard::Forget(id);
}

using BusErrorGuardDeathTest = BusErrorGuardTest;

TEST_F(BusErrorGuardDeathTest, OutsideOfEveryRange_StillCrashes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        bus_error_guard::Install();
        Truncated memory(0);
        memory.At(0) = 1;
      },
      testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(
      {
        bus_error_guard::Install();
        Truncated memory(0);
        bus_error_guard::Guard(memory.data(), kPage);
        memory.At(1) = 1;  // just behind it
      },
      testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(
      {
        bus_error_guard::Install();
        Truncated memory(0);
        bus_error_guard::Forget(bus_error_guard::Guard(memory.data(), kPages * kPage));
        memory.At(0) = 1;
      },
      testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace vgpu::base
