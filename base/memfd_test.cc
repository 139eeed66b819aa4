// SPDX-License-Identifier: Apache-2.0
#include "base/memfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::base {
namespace {

constexpr uint64_t kBytes = 1 << 20;
constexpr int kNeededSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

UniqueFd Memfd(uint64_t bytes, int seals) {
  UniqueFd fd(memfd_create("region_test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_TRUE(fd);
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

// `fd` must be refused, with an error that holds all of `words`.
void ExpectRefused(int fd, std::initializer_list<const char*> words) {
  const Result<void> checked = CheckSealed(fd, kBytes);
  ASSERT_FALSE(checked.has_value());
  for (const char* word : words) EXPECT_NE(checked.error().find(word), std::string::npos) << checked.error();
}

// How many pages of the mapped file nobody has paid for yet.
long MissingPages(const Mapping& mapping) {
  std::vector<unsigned char> pages(mapping.bytes() / 4096);
  EXPECT_EQ(mincore(mapping.data(), mapping.bytes(), pages.data()), 0);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) == 0; });
}

// ---- seals ----

TEST(Memfd, MakeSealedMemfd_IsAcceptedZeroedAndCannotBeResized) {
  const Result<UniqueFd> fd = MakeSealedMemfd("region_test", kBytes);
  ASSERT_TRUE(fd.has_value()) << fd.error();
  EXPECT_TRUE(CheckSealed(fd->get(), kBytes).has_value());
  EXPECT_EQ(ftruncate(fd->get(), 0), -1);
  EXPECT_EQ(ftruncate(fd->get(), 2 * kBytes), -1);
  EXPECT_EQ(fcntl(fd->get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  const Result<Mapping> mapping = MapShared(fd->get(), kBytes);
  ASSERT_TRUE(mapping.has_value()) << mapping.error();
  for (uint64_t i = 0; i < kBytes; ++i) ASSERT_EQ(mapping->data()[i], 0) << i;
}

TEST(Memfd, CheckSealed_AnyNeededSealMissing_IsRefused) {
  for (const int seals :
       {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL}) {
    ExpectRefused(Memfd(kBytes, seals).get(), {"not sealed", "seal=on"});
  }
}

TEST(Memfd, CheckSealed_SealedAgainstWriting_IsRefused) {
  ExpectRefused(Memfd(kBytes, kNeededSeals | F_SEAL_WRITE).get(), {"sealed against writing"});
  ExpectRefused(Memfd(kBytes, kNeededSeals | F_SEAL_FUTURE_WRITE).get(), {"sealed against writing"});
}

TEST(Memfd, CheckSealed_AnotherSize_IsRefused) {
  for (const uint64_t bytes : {uint64_t{0}, kBytes - 4096, kBytes + 4096, 2 * kBytes}) {
    ExpectRefused(Memfd(bytes, kNeededSeals).get(),
                  {std::to_string(bytes).c_str(), std::to_string(kBytes).c_str()});
  }
}

TEST(Memfd, CheckSealed_NotAMemfd_IsRefused) {
  char path[] = "/tmp/region_test.XXXXXX";
  const UniqueFd file(mkstemp(path));
  ASSERT_TRUE(file);
  unlink(path);
  ASSERT_EQ(ftruncate(file.get(), kBytes), 0);
  ExpectRefused(file.get(), {"not", "memory-backend-memfd"});

  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd pipe_out(ends[0]);
  const UniqueFd pipe_in(ends[1]);
  ExpectRefused(pipe_out.get(), {"not a memfd"});

  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd left(ends[0]);
  const UniqueFd right(ends[1]);
  ExpectRefused(left.get(), {"not a memfd"});

  const UniqueFd null(open("/dev/zero", O_RDWR | O_CLOEXEC));
  ExpectRefused(null.get(), {"not a memfd"});
}

TEST(Memfd, CheckSealed_NoDescriptor_IsRefused) { ExpectRefused(-1, {"cannot look"}); }

// ---- mappings ----

TEST(Memfd, MapShared_TwoMappings_SeeEachOther) {
  const Result<UniqueFd> fd = MakeSealedMemfd("region_test", kBytes);
  ASSERT_TRUE(fd.has_value());
  const Result<Mapping> one = MapShared(fd->get(), kBytes);
  const Result<Mapping> other = MapShared(fd->get(), kBytes);
  ASSERT_TRUE(one.has_value() && other.has_value());
  ASSERT_TRUE(Populate(*one).has_value());
  one->data()[kBytes - 1] = 42;
  EXPECT_EQ(other->data()[kBytes - 1], 42);
}

TEST(Memfd, MakeOwnedMemory_SealedAndEveryPageIsPresent) {
  const Result<OwnedMemory> memory = MakeOwnedMemory("region_test", kBytes);
  ASSERT_TRUE(memory.has_value()) << memory.error();
  EXPECT_TRUE(CheckSealed(memory->fd.get(), kBytes).has_value());
  EXPECT_EQ(MissingPages(memory->mapping), 0);
}

TEST(Memfd, PopulateAndTouch_FillHolesAndChangeNothingElse) {
  for (const bool touch : {false, true}) {
    const Result<OwnedMemory> memory = MakeOwnedMemory("region_test", kBytes);
    ASSERT_TRUE(memory.has_value()) << memory.error();
    char* const data = memory->mapping.data();
    for (uint64_t i = 0; i < kBytes; ++i) data[i] = static_cast<char>(i / 4096 + 1);
    ASSERT_EQ(fallocate(memory->fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 3 * 4096), 0);
    ASSERT_EQ(MissingPages(memory->mapping), 3);
    if (touch) {
      TouchPages(memory->mapping);
    } else {
      ASSERT_TRUE(Populate(memory->mapping).has_value());
    }
    EXPECT_EQ(MissingPages(memory->mapping), 0) << "touch: " << touch;
    for (uint64_t i = 0; i < kBytes; ++i) {
      const bool hole = i / 4096 >= 1 && i / 4096 < 4;
      ASSERT_EQ(data[i], hole ? 0 : static_cast<char>(i / 4096 + 1)) << i;
    }
  }
}

TEST(Memfd, MapShared_ReadOnlyDescriptor_SaysWhy) {
  const UniqueFd fd = Memfd(kBytes, kNeededSeals);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  const UniqueFd read_only(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only);
  const Result<Mapping> mapping = MapShared(read_only.get(), kBytes);
  ASSERT_FALSE(mapping.has_value());
  EXPECT_NE(mapping.error().find("cannot map"), std::string::npos) << mapping.error();
}

TEST(Memfd, Mapping_Moved_IsUnmappedOnce) {
  const UniqueFd fd = Memfd(kBytes, kNeededSeals);
  Mapping mapping = std::move(*MapShared(fd.get(), kBytes));
  char* const data = mapping.data();
  Mapping other = std::move(mapping);
  EXPECT_FALSE(mapping);
  EXPECT_EQ(other.data(), data);
  other = Mapping();
  unsigned char resident;
  EXPECT_EQ(mincore(data, 4096, &resident), -1) << "still mapped";
  EXPECT_EQ(errno, ENOMEM);
}

TEST(UniqueFd, Moved_IsClosedOnce) {
  UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  const int number = fd.get();
  UniqueFd other = std::move(fd);
  EXPECT_FALSE(fd);
  EXPECT_EQ(other.get(), number);
  other = UniqueFd();
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace vgpu::base
