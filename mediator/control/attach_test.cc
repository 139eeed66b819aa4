// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/attach.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "api/codes.h"
#include "base/bus_error_guard.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/missing_pages.h"
#include "base/unique_fd.h"
#include "mediator/control/short_file.h"

namespace vgpu::mediator {
namespace {

constexpr vgpu_msg_attach kClaim = {7, 'B', 2, 4, 64, 0, 1 << 20};

base::UniqueFd Sealed(uint64_t bytes) {
  return std::move(base::MakeOwnedMemory("vgpu-test", bytes).value().fd);
}

struct Checked {
  tl::expected<Identity, Refusal> identity;
  vgpu_layout layout{};
};

Checked Check(const vgpu_msg_attach& claim, const Config& config = {}) {
  Checked checked{tl::make_unexpected(Refusal{}), {}};
  checked.layout.ring_count = 99;
  checked.identity = CheckClaim(claim, config, &checked.layout);
  return checked;
}

uint32_t Code(const vgpu_msg_attach& claim, const Config& config = {}) {
  const Checked checked = Check(claim, config);
  if (checked.identity) return VGPU_OK;
  EXPECT_FALSE(checked.identity.error().text.empty());
  return checked.identity.error().code;
}

TEST(CheckClaimTest, NoConfiguration_ClaimIsGranted) {
  const Checked checked = Check(kClaim);
  ASSERT_TRUE(checked.identity);
  EXPECT_EQ(checked.identity->vm_id, 7u);
  EXPECT_EQ(checked.identity->pool, static_cast<uint32_t>('B'));
  EXPECT_EQ(checked.identity->priority, 2u);
  EXPECT_EQ(checked.layout.ring_count, 4u);
  EXPECT_EQ(checked.layout.region_bytes, uint64_t{1} << 20);
}

TEST(CheckClaimTest, RingOff_HasNoLayout) {
  const Checked checked = Check({7, 'A', 0, 0, 0, 0, 0});
  ASSERT_TRUE(checked.identity);
  EXPECT_EQ(checked.layout.ring_count, 0u);
  EXPECT_EQ(Code({7, 'A', 0, 0, 0, 0, 1 << 20}), VGPU_ERR_INVALID_REQUEST);
}

TEST(CheckClaimTest, Configuration_Decides) {
  Config config;
  config.vms = {{7, 'A', 0}, {8, 'B', 1}};
  const Checked checked = Check(kClaim, config);
  ASSERT_TRUE(checked.identity);
  EXPECT_EQ(checked.identity->pool, static_cast<uint32_t>('A'));
  EXPECT_EQ(checked.identity->priority, 0u);
  vgpu_msg_attach other = kClaim;
  other.vm_id = 9;
  EXPECT_EQ(Code(other, config), VGPU_ERR_INVALID_REQUEST);
}

TEST(CheckClaimTest, Limits) {
  Config config;
  config.region_bytes_max = 1 << 20;
  EXPECT_EQ(Code(kClaim, config), VGPU_OK);
  config.region_bytes_max = (1 << 20) - 1;
  EXPECT_EQ(Code(kClaim, config), VGPU_ERR_TOO_LARGE);
}

TEST(CheckClaimTest, EveryFieldThatCanBeWrong) {
  const auto with = [](auto change) {
    vgpu_msg_attach claim = kClaim;
    change(&claim);
    return Code(claim);
  };
  EXPECT_EQ(with([](auto* c) { c->pool = 'C'; }), VGPU_ERR_INVALID_POOL);
  EXPECT_EQ(with([](auto* c) { c->pool = 'A' + 256; }), VGPU_ERR_INVALID_POOL);
  EXPECT_EQ(with([](auto* c) { c->priority = 3; }), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(with([](auto* c) { c->ring_count = 9; }), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(with([](auto* c) { c->entries = 48; }), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(with([](auto* c) { c->entries = 1; }), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(with([](auto* c) { c->region_bytes = 3 << 20; }), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(with([](auto* c) { c->region_bytes = 1ull << 37; }), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(with([](auto* c) { c->region_bytes = 64 << 10, c->ring_count = 8, c->entries = 64; }),
            VGPU_ERR_INVALID_REQUEST);
}

base::UniqueFd Duplicate(const base::UniqueFd& fd) { return base::UniqueFd(fd ? dup(fd.get()) : -1); }

// Its pages are present: its maker is its owner.
base::UniqueFd Present(uint64_t bytes) { return Sealed(bytes); }

// One that nobody has touched.
base::UniqueFd Untouched(uint64_t bytes) {
  base::UniqueFd fd(memfd_create("vgpu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  return fd;
}

class PrepareMemoryTest : public testing::Test {
 protected:
  PrepareMemoryTest() { EXPECT_EQ(vgpu_layout_make(1 << 20, 2, 64, &layout_), 0); }

  tl::expected<SessionMemory, Refusal> Prepare(const base::UniqueFd& private_file,
                                               const base::UniqueFd& region,
                                               const base::UniqueFd& rings = {}) const {
    MemoryPreparer preparer(layout_, Duplicate(private_file), Duplicate(region), Duplicate(rings));
    for (;;) {
      auto ready = preparer.Step();
      if (!ready) return tl::make_unexpected(std::move(ready.error()));
      if (*ready) return preparer.Take();
    }
  }
  std::string Error(const base::UniqueFd& private_file, const base::UniqueFd& region,
                    const base::UniqueFd& rings = {}) {
    const auto memory = Prepare(private_file, region, rings);
    return memory ? "no error" : memory.error().text;
  }

  vgpu_layout layout_{};
};

TEST_F(PrepareMemoryTest, RightFiles_MappedSharedAndPresent) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const auto memory = Prepare(file, region);
  ASSERT_TRUE(memory) << memory.error().text;
  EXPECT_EQ(memory->region.bytes(), size_t{1} << 20);
  EXPECT_EQ(memory->private_file.bytes(), size_t{VGPU_PRIVATE_BYTES});
  EXPECT_EQ(memory->layout.ring_count, 2u);
  const auto other = base::MapShared(region.get(), 1 << 20);
  ASSERT_TRUE(other);
  memory->region.data()[12345] = 42;
  EXPECT_EQ(other->data()[12345], 42);
  std::string present((1 << 20) / VGPU_PAGE_BYTES, '\0');
  ASSERT_EQ(mincore(memory->region.data(), 1 << 20, reinterpret_cast<unsigned char*>(present.data())), 0);
  for (const char page : present) EXPECT_EQ(page & 1, 1);
}

TEST_F(PrepareMemoryTest, RingOff_NeedsNoRegion) {
  layout_ = {};
  const auto memory = Prepare(Present(VGPU_PRIVATE_BYTES), base::UniqueFd());
  ASSERT_TRUE(memory) << memory.error().text;
  EXPECT_FALSE(memory->region);
}

TEST_F(PrepareMemoryTest, WrongFiles_NameWhichAndWhy) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const base::UniqueFd unsealed(memfd_create("vgpu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), 1 << 20), 0);
  EXPECT_EQ(Error(file, region), "no error");
  EXPECT_EQ(Error(file, unsealed).rfind("the region: the shared memory is not sealed", 0), 0u);
  EXPECT_EQ(Error(unsealed, region).rfind("the private file: the shared memory is not sealed", 0), 0u);
  EXPECT_EQ(Error(region, region).rfind("the private file: the shared memory has 1048576 bytes", 0), 0u);
  EXPECT_EQ(Error(file, file).rfind("the region: the shared memory has 262144 bytes", 0), 0u);
  EXPECT_EQ(Error(file, base::UniqueFd()).rfind("the region: ", 0), 0u);
}

// Whose memory it is pays for it: what its owner has not touched is not touched here either.
TEST_F(PrepareMemoryTest, PagesThatAreNotThere_RefusedAndNotMade) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Untouched(1 << 20);
  EXPECT_NE(Error(file, region).find("the region: it has pages that are not present"), std::string::npos);
  struct stat info;
  ASSERT_EQ(fstat(region.get(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
  EXPECT_NE(Error(Untouched(VGPU_PRIVATE_BYTES), Present(1 << 20)).find("the private file: it has pages"),
            std::string::npos);
}

TEST_F(PrepareMemoryTest, HoleAfterTheAttach_IsABusErrorAndTakesNoMemory) {
  if (const auto supported = base::missing_pages::Supported(); !supported) GTEST_SKIP() << supported.error();
  base::bus_error_guard::Install();
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const auto memory = Prepare(file, region);
  ASSERT_TRUE(memory) << memory.error().text;
  ASSERT_EQ(fallocate(region.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
  EXPECT_FALSE(base::missing_pages::Mapped(memory->region.data(), 1 << 20));
  EXPECT_FALSE(memory->region.lost());
  static_cast<volatile char*>(memory->region.data())[4096] = 1;
  EXPECT_TRUE(memory->region.lost());
  struct stat info;
  ASSERT_EQ(fstat(region.get(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
}

// ---- the rings file ----

TEST_F(PrepareMemoryTest, RingsFile_LiesOverTheRegion) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const base::UniqueFd rings = Present(vgpu_rings_bytes(&layout_));
  const auto memory = Prepare(file, region, rings);
  ASSERT_TRUE(memory) << memory.error().text;
  const base::Mapping theirs = std::move(base::MapShared(rings.get(), vgpu_rings_bytes(&layout_)).value());
  const base::Mapping below = std::move(base::MapShared(region.get(), 1 << 20).value());
  const uint64_t ring_1 = layout_.ring_off + layout_.ring_stride;
  memory->region.data()[ring_1] = 42;
  memory->region.data()[ring_1 + layout_.arena_off] = 43;
  EXPECT_EQ(theirs.data()[vgpu_rings_piece_of(&layout_, 1).file_off], 42);
  EXPECT_EQ(below.data()[ring_1], 0);
  EXPECT_EQ(below.data()[ring_1 + layout_.arena_off], 43);
}

TEST_F(PrepareMemoryTest, RingsFileThatIsWrong_IsNamed) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const uint64_t bytes = vgpu_rings_bytes(&layout_);
  const base::UniqueFd unsealed(memfd_create("vgpu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(Error(file, region, Present(bytes)), "no error");
  EXPECT_EQ(Error(file, region, unsealed).rfind("the rings file: the shared memory is not sealed", 0), 0u);
  EXPECT_EQ(Error(file, region, Present(bytes + 4096)).rfind("the rings file: the shared memory has", 0), 0u);
  EXPECT_EQ(Error(file, region, Present(bytes - 4096)).rfind("the rings file: the shared memory has", 0), 0u);
  const base::UniqueFd missing = Untouched(bytes);
  EXPECT_NE(
      Error(file, region, missing).find("the region or its rings file: it has pages that are not present"),
      std::string::npos);
  struct stat info;
  ASSERT_EQ(fstat(missing.get(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0) << "allocated here";
}

// The owner of a rings file need not have the pages of the region that it covers.
TEST_F(PrepareMemoryTest, RegionsPagesBelowTheRingsFile_MayBeMissing) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const auto off = static_cast<off_t>(layout_.ring_off + layout_.ring_stride);
  ASSERT_EQ(fallocate(region.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, 4096), 0);
  EXPECT_NE(Error(file, region).find("pages that are not present"), std::string::npos);
  EXPECT_EQ(Error(file, region, Present(vgpu_rings_bytes(&layout_))), "no error");
}

TEST_F(PrepareMemoryTest, HoleInTheRegion_LeavesRingLinesHoleInTheRingsFileDoesNot) {
  if (const auto supported = base::missing_pages::Supported(); !supported) GTEST_SKIP() << supported.error();
  base::bus_error_guard::Install();
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES), region = Present(1 << 20);
  const base::UniqueFd rings = Present(vgpu_rings_bytes(&layout_));
  const auto memory = Prepare(file, region, rings);
  ASSERT_TRUE(memory) << memory.error().text;
  volatile char* ring_1 = memory->region.data() + layout_.ring_off + layout_.ring_stride;
  ASSERT_EQ(fallocate(region.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
  *ring_1 = 1;
  EXPECT_FALSE(memory->region.lost());
  ASSERT_EQ(fallocate(rings.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
  *ring_1 = 1;
  EXPECT_TRUE(memory->region.lost());
  struct stat info;
  ASSERT_EQ(fstat(rings.get(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
}

// What the thread that serves rings may touch.
TEST_F(PrepareMemoryTest, ShortFiles_AreToldFromLongOnes) {
  const base::UniqueFd file = Present(VGPU_PRIVATE_BYTES);
  for (const uint64_t bytes : {kShortFileBytes, 2 * kShortFileBytes}) {
    ASSERT_EQ(vgpu_layout_make(bytes, 2, 64, &layout_), 0);
    const base::UniqueFd region = Present(bytes), rings = Present(vgpu_rings_bytes(&layout_));
    const bool is_short = bytes == kShortFileBytes;
    const auto with = Prepare(file, region, rings), without = Prepare(file, region);
    ASSERT_TRUE(with && without);
    EXPECT_TRUE(with->rings_are_short);
    EXPECT_EQ(with->arenas_are_short, is_short);
    EXPECT_EQ(without->rings_are_short, is_short);
    EXPECT_EQ(without->arenas_are_short, is_short);
  }
}

TEST(CheckKindTest, MemfdsAndEventfds_AreToldFromAllElse) {
  const base::UniqueFd memory = Sealed(4096), counter(eventfd(0, EFD_CLOEXEC));
  int pipe[2];
  ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
  const base::UniqueFd ends[] = {base::UniqueFd(pipe[0]), base::UniqueFd(pipe[1])};
  EXPECT_TRUE(CheckIsMemfd("it", memory.get()));
  EXPECT_TRUE(CheckIsEventfd("it", counter.get()));
  EXPECT_FALSE(CheckIsMemfd("it", counter.get()));
  EXPECT_FALSE(CheckIsEventfd("it", memory.get()));
  // Of the right kind, but opened as a path: good for nothing.
  const auto path_to = [](int fd) {
    return base::UniqueFd(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_PATH | O_CLOEXEC));
  };
  EXPECT_FALSE(CheckIsMemfd("it", path_to(memory.get()).get()));
  EXPECT_FALSE(CheckIsEventfd("it", path_to(counter.get()).get()));
  EXPECT_FALSE(CheckIsMemfd("it", ends[0].get()));
  EXPECT_FALSE(CheckIsEventfd("it", ends[0].get()));
}

}  // namespace
}  // namespace vgpu::mediator
