// SPDX-License-Identifier: Apache-2.0
#include "base/missing_pages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/bus_error_guard.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/unique_fd.h"

namespace vgpu::base::missing_pages {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kBytes = 16 * kPage;
constexpr size_t kHole = 5 * kPage;

// Memory that an owner has made present, and this process's mapping of it, guarded and populated as an attach
// does it.
class MissingPagesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto supported = Supported(); !supported) GTEST_SKIP() << supported.error();
    bus_error_guard::Install();
    owner_ = std::move(MakeOwnedMemory("vgpu-test", kBytes).value());
    ours_ = std::move(MapShared(owner_.fd.get(), kBytes).value());
    ASSERT_TRUE(Guard(ours_.data(), kBytes));
    ASSERT_EQ(madvise(ours_.data(), kBytes, MADV_POPULATE_WRITE), 0);
    guard_ = bus_error_guard::Guard(ours_.data(), kBytes);
    ASSERT_GE(guard_, 0);
  }
  void TearDown() override { bus_error_guard::Forget(guard_); }

  void Punch() {
    ASSERT_EQ(fallocate(owner_.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kHole, kPage), 0);
  }
  void Refill() { owner_.mapping.data()[kHole] = 1; }
  blkcnt_t Blocks() const {
    struct stat info {};
    EXPECT_EQ(fstat(owner_.fd.get(), &info), 0);
    return info.st_blocks;
  }
  void Touch() { reinterpret_cast<volatile char*>(ours_.data())[kHole] = 7; }

  base::OwnedMemory owner_;
  Mapping ours_;
  int guard_ = -1;
};

TEST_F(MissingPagesTest, Whole_PresentAndMapped) {
  EXPECT_TRUE(Present(ours_.data(), kBytes));
  EXPECT_TRUE(Mapped(ours_.data(), kBytes));
  Touch();
  EXPECT_EQ(bus_error_guard::Hits(guard_), 0u);
  EXPECT_EQ(owner_.mapping.data()[kHole], 7);
}

TEST_F(MissingPagesTest, Hole_NeitherPresentNorMapped) {
  Punch();
  EXPECT_FALSE(Present(ours_.data(), kBytes));
  EXPECT_FALSE(Mapped(ours_.data(), kBytes));
  EXPECT_TRUE(Present(ours_.data(), kHole)) << "before the hole";
  EXPECT_TRUE(Mapped(ours_.data(), kHole));
  EXPECT_TRUE(Mapped(ours_.data() + kHole + kPage, kBytes - kHole - kPage)) << "behind it";
}

TEST_F(MissingPagesTest, HoleRefilled_PresentButNotMapped) {
  Punch();
  Refill();
  EXPECT_TRUE(Present(ours_.data(), kBytes));
  EXPECT_FALSE(Mapped(ours_.data(), kBytes));
  Touch();
  EXPECT_EQ(bus_error_guard::Hits(guard_), 0u) << "the page is there, if another one";
  EXPECT_TRUE(Mapped(ours_.data(), kBytes));
}

// The owner's page, which its memory cgroup has paid for, must not become this process's.
TEST_F(MissingPagesTest, HoleTouched_BusErrorAndNoPage) {
  Punch();
  const blkcnt_t blocks = Blocks();
  Touch();
  EXPECT_GE(bus_error_guard::Hits(guard_), 1u);
  EXPECT_EQ(Blocks(), blocks) << "this process has allocated a page of its peer's memory";
}

TEST_F(MissingPagesTest, HolePopulated_RefusedAndNoPage) {
  Punch();
  const blkcnt_t blocks = Blocks();
  EXPECT_EQ(madvise(ours_.data(), kBytes, MADV_POPULATE_WRITE), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(Blocks(), blocks);
}

TEST_F(MissingPagesTest, NeverTouchedByItsOwner_NotPresent) {
  const UniqueFd sparse = std::move(MakeSealedMemfd("vgpu-test", kBytes).value());
  const Mapping mapping = std::move(MapShared(sparse.get(), kBytes).value());
  EXPECT_FALSE(Present(mapping.data(), kBytes));
  EXPECT_FALSE(Mapped(mapping.data(), kBytes));
}

}  // namespace
}  // namespace vgpu::base::missing_pages
