// SPDX-License-Identifier: Apache-2.0
#include "ring/region.h"

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

#include "ring/abi.h"
#include "ring/unique_fd.h"

namespace vgpu::ring {
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

TEST(Region, MakeSealedMemfd_IsAcceptedZeroedAndCannotBeResized) {
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

TEST(Region, CheckSealed_AnyNeededSealMissing_IsRefused) {
  for (const int seals :
       {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL}) {
    ExpectRefused(Memfd(kBytes, seals).get(), {"not sealed", "seal=on"});
  }
}

TEST(Region, CheckSealed_SealedAgainstWriting_IsRefused) {
  ExpectRefused(Memfd(kBytes, kNeededSeals | F_SEAL_WRITE).get(), {"sealed against writing"});
  ExpectRefused(Memfd(kBytes, kNeededSeals | F_SEAL_FUTURE_WRITE).get(), {"sealed against writing"});
}

TEST(Region, CheckSealed_AnotherSize_IsRefused) {
  for (const uint64_t bytes : {uint64_t{0}, kBytes - 4096, kBytes + 4096, 2 * kBytes}) {
    ExpectRefused(Memfd(bytes, kNeededSeals).get(),
                  {std::to_string(bytes).c_str(), std::to_string(kBytes).c_str()});
  }
}

TEST(Region, CheckSealed_NotAMemfd_IsRefused) {
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

TEST(Region, CheckSealed_NoDescriptor_IsRefused) { ExpectRefused(-1, {"cannot look"}); }

// ---- mappings ----

TEST(Region, MapShared_TwoMappings_SeeEachOther) {
  const Result<UniqueFd> fd = MakeSealedMemfd("region_test", kBytes);
  ASSERT_TRUE(fd.has_value());
  const Result<Mapping> one = MapShared(fd->get(), kBytes);
  const Result<Mapping> other = MapShared(fd->get(), kBytes);
  ASSERT_TRUE(one.has_value() && other.has_value());
  ASSERT_TRUE(Populate(*one).has_value());
  one->data()[kBytes - 1] = 42;
  EXPECT_EQ(other->data()[kBytes - 1], 42);
}

TEST(Region, MakeOwnedMemory_SealedAndEveryPageIsPresent) {
  const Result<OwnedMemory> memory = MakeOwnedMemory("region_test", kBytes);
  ASSERT_TRUE(memory.has_value()) << memory.error();
  EXPECT_TRUE(CheckSealed(memory->fd.get(), kBytes).has_value());
  EXPECT_EQ(MissingPages(memory->mapping), 0);
}

TEST(Region, PopulateAndTouch_FillHolesAndChangeNothingElse) {
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

TEST(Region, MapShared_ReadOnlyDescriptor_SaysWhy) {
  const UniqueFd fd = Memfd(kBytes, kNeededSeals);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  const UniqueFd read_only(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only);
  const Result<Mapping> mapping = MapShared(read_only.get(), kBytes);
  ASSERT_FALSE(mapping.has_value());
  EXPECT_NE(mapping.error().find("cannot map"), std::string::npos) << mapping.error();
}

TEST(Region, Mapping_Moved_IsUnmappedOnce) {
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

// ---- the rings file ----

// The byte that page `i` of a mapping begins with.
char& FirstByte(const Mapping& mapping, uint64_t offset) { return mapping.data()[offset]; }

TEST(OwnedRegion, Made_BothFilesSealedAllPagesPresentHeaderReadable) {
  vgpu_layout layout;
  ASSERT_EQ(vgpu_layout_make(kBytes, 3, 256, &layout), 0);
  const Result<OwnedRegion> region = MakeOwnedRegion(layout);
  ASSERT_TRUE(region.has_value()) << region.error();
  EXPECT_TRUE(CheckSealed(region->fd.get(), kBytes).has_value());
  EXPECT_TRUE(CheckSealed(region->rings_fd.get(), vgpu_rings_bytes(&layout)).has_value());
  EXPECT_EQ(MissingPages(region->mapping), 0);
  EXPECT_TRUE(ReadLayout(region->mapping).has_value());
}

TEST(OwnedRegion, EachByte_LiesInOneOfTheFiles) {
  vgpu_layout layout;
  ASSERT_EQ(vgpu_layout_make(kBytes, 3, 256, &layout), 0);
  const OwnedRegion region = std::move(MakeOwnedRegion(layout).value());
  const Mapping below = std::move(MapShared(region.fd.get(), kBytes).value());
  const Mapping rings = std::move(MapShared(region.rings_fd.get(), vgpu_rings_bytes(&layout)).value());
  for (uint32_t q = 0; q < layout.ring_count; ++q) {
    const vgpu_rings_piece piece = vgpu_rings_piece_of(&layout, q);
    const uint64_t last = piece.bytes - VGPU_PAGE_BYTES, arena = piece.region_off + piece.bytes;
    FirstByte(region.mapping, piece.region_off + last) = static_cast<char>(10 + q);
    FirstByte(region.mapping, arena) = static_cast<char>(20 + q);
    EXPECT_EQ(FirstByte(rings, piece.file_off + last), static_cast<char>(10 + q));
    EXPECT_EQ(FirstByte(below, piece.region_off + last), 0);
    EXPECT_EQ(FirstByte(below, arena), static_cast<char>(20 + q));
  }
}

// What it is for: the owner punches all of the region's file, and every ring page stays as it is.
TEST(OwnedRegion, RegionsFilePunched_RingPagesStay) {
  vgpu_layout layout;
  ASSERT_EQ(vgpu_layout_make(kBytes, 8, 64, &layout), 0);
  const OwnedRegion region = std::move(MakeOwnedRegion(layout).value());
  for (uint32_t q = 0; q < layout.ring_count; ++q) {
    FirstByte(region.mapping, layout.ring_off + q * layout.ring_stride) = 7;
  }
  ASSERT_EQ(fallocate(region.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBytes), 0);
  for (uint32_t q = 0; q < layout.ring_count; ++q) {
    EXPECT_EQ(FirstByte(region.mapping, layout.ring_off + q * layout.ring_stride), 7) << q;
  }
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

// ---- header ----

class RegionHeader : public testing::Test {
 protected:
  RegionHeader() {
    EXPECT_EQ(vgpu_layout_make(kBytes, 8, 256, &layout), 0);
    const UniqueFd fd = Memfd(kBytes, kNeededSeals);
    mapping = std::move(*MapShared(fd.get(), kBytes));
    header = reinterpret_cast<vgpu_region_header*>(mapping.data());
    vgpu_region_header_fill(header, &layout);
  }

  // What is read after `damage`; the header is whole again afterwards.
  Result<vgpu_layout> ReadAfter(const std::function<void(vgpu_region_header*)>& damage) {
    const vgpu_region_header whole = *header;
    damage(header);
    const Result<vgpu_layout> read = ReadLayout(mapping);
    *header = whole;
    return read;
  }

  vgpu_layout layout = {};
  Mapping mapping;
  vgpu_region_header* header;
};

TEST_F(RegionHeader, Filled_ReadsBack) {
  const Result<vgpu_layout> read = ReadLayout(mapping);
  ASSERT_TRUE(read.has_value()) << read.error();
  EXPECT_EQ(read->region_bytes, layout.region_bytes);
  EXPECT_EQ(read->ring_off, layout.ring_off);
  EXPECT_EQ(read->ring_stride, layout.ring_stride);
  EXPECT_EQ(read->arena_off, layout.arena_off);
  EXPECT_EQ(read->arena_bytes, layout.arena_bytes);
  EXPECT_EQ(read->ring_count, layout.ring_count);
  EXPECT_EQ(read->entries, layout.entries);
}

TEST_F(RegionHeader, EachFieldDamaged_IsRefused) {
  using Header = vgpu_region_header;
  const std::pair<const char*, std::function<void(Header*)>> damages[] = {
      {"region_bytes", [](Header* h) { h->region_bytes += 4096; }},
      {"region_bytes, twice", [](Header* h) { h->region_bytes *= 2; }},
      {"region_bytes, half", [](Header* h) { h->region_bytes /= 2; }},
      {"region_bytes, zero", [](Header* h) { h->region_bytes = 0; }},
      {"ring_count", [](Header* h) { --h->ring_count; }},
      {"ring_count, zero", [](Header* h) { h->ring_count = 0; }},
      {"ring_count, huge", [](Header* h) { h->ring_count = ~0u; }},
      {"entries", [](Header* h) { h->entries /= 2; }},
      {"entries, no power of two", [](Header* h) { ++h->entries; }},
      {"entries, zero", [](Header* h) { h->entries = 0; }},
      {"ring_off", [](Header* h) { h->ring_off += 4096; }},
      {"ring_stride", [](Header* h) { h->ring_stride += 4096; }},
      {"slots_off", [](Header* h) { h->slots_off += 64; }},
      {"arena_off", [](Header* h) { h->arena_off += 4096; }},
      {"arena_bytes", [](Header* h) { h->arena_bytes += 4096; }},
  };
  for (const auto& [name, damage] : damages) {
    const Result<vgpu_layout> read = ReadAfter(damage);
    ASSERT_FALSE(read.has_value()) << name;
    EXPECT_NE(read.error().find("damaged"), std::string::npos) << name << ": " << read.error();
  }
}

TEST_F(RegionHeader, NoMagic_IsRefused) {
  const Result<vgpu_layout> read = ReadAfter([](vgpu_region_header* h) { h->magic ^= 1; });
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("no vgpu-ring header"), std::string::npos) << read.error();
}

TEST_F(RegionHeader, AnotherMajorVersion_IsRefusedWithBothVersions) {
  const Result<vgpu_layout> read = ReadAfter([](vgpu_region_header* h) { h->abi_version += 0x10000; });
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("2.0"), std::string::npos) << read.error();
  EXPECT_NE(read.error().find("1.0"), std::string::npos) << read.error();
}

TEST_F(RegionHeader, AnotherMinorVersion_IsRead) {
  EXPECT_TRUE(ReadAfter([](vgpu_region_header* h) { ++h->abi_version; }).has_value());
}

TEST_F(RegionHeader, MappingTooSmall_IsRefused) {
  EXPECT_FALSE(ReadLayout(Mapping()).has_value());
  const UniqueFd fd = Memfd(kBytes, kNeededSeals);
  const Mapping half = std::move(*MapShared(fd.get(), kBytes / 2));
  vgpu_region_header_fill(reinterpret_cast<vgpu_region_header*>(half.data()), &layout);
  EXPECT_FALSE(ReadLayout(half).has_value()) << "the header promises more than is mapped";
}

}  // namespace
}  // namespace vgpu::ring
