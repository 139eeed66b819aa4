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

#include "base/mapping.h"
#include "base/memfd.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ring/abi.h"

namespace vgpu::ring {
namespace {

constexpr uint64_t kBytes = 1 << 20;
constexpr int kNeededSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

base::UniqueFd Memfd(uint64_t bytes, int seals) {
  base::UniqueFd fd(memfd_create("region_test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_TRUE(fd);
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

// How many pages of the mapped file nobody has paid for yet.
long MissingPages(const base::Mapping& mapping) {
  std::vector<unsigned char> pages(mapping.bytes() / 4096);
  EXPECT_EQ(mincore(mapping.data(), mapping.bytes(), pages.data()), 0);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) == 0; });
}

// ---- the rings file ----

// The byte that page `i` of a mapping begins with.
char& FirstByte(const base::Mapping& mapping, uint64_t offset) { return mapping.data()[offset]; }

TEST(OwnedRegion, Made_BothFilesSealedAllPagesPresentHeaderReadable) {
  vgpu_layout layout;
  ASSERT_EQ(vgpu_layout_make(kBytes, 3, 256, &layout), 0);
  const base::Result<OwnedRegion> region = MakeOwnedRegion(layout);
  ASSERT_TRUE(region.has_value()) << region.error();
  EXPECT_TRUE(base::CheckSealed(region->fd.get(), kBytes).has_value());
  EXPECT_TRUE(base::CheckSealed(region->rings_fd.get(), vgpu_rings_bytes(&layout)).has_value());
  EXPECT_EQ(MissingPages(region->mapping), 0);
  EXPECT_TRUE(ReadLayout(region->mapping).has_value());
}

TEST(OwnedRegion, EachByte_LiesInOneOfTheFiles) {
  vgpu_layout layout;
  ASSERT_EQ(vgpu_layout_make(kBytes, 3, 256, &layout), 0);
  const OwnedRegion region = std::move(MakeOwnedRegion(layout).value());
  const base::Mapping below = std::move(base::MapShared(region.fd.get(), kBytes).value());
  const base::Mapping rings =
      std::move(base::MapShared(region.rings_fd.get(), vgpu_rings_bytes(&layout)).value());
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

// ---- header ----

class RegionHeader : public testing::Test {
 protected:
  RegionHeader() {
    EXPECT_EQ(vgpu_layout_make(kBytes, 8, 256, &layout), 0);
    const base::UniqueFd fd = Memfd(kBytes, kNeededSeals);
    mapping = std::move(*base::MapShared(fd.get(), kBytes));
    header = reinterpret_cast<vgpu_region_header*>(mapping.data());
    vgpu_region_header_fill(header, &layout);
  }

  // What is read after `damage`; the header is whole again afterwards.
  base::Result<vgpu_layout> ReadAfter(const std::function<void(vgpu_region_header*)>& damage) {
    const vgpu_region_header whole = *header;
    damage(header);
    const base::Result<vgpu_layout> read = ReadLayout(mapping);
    *header = whole;
    return read;
  }

  vgpu_layout layout = {};
  base::Mapping mapping;
  vgpu_region_header* header;
};

TEST_F(RegionHeader, Filled_ReadsBack) {
  const base::Result<vgpu_layout> read = ReadLayout(mapping);
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
    const base::Result<vgpu_layout> read = ReadAfter(damage);
    ASSERT_FALSE(read.has_value()) << name;
    EXPECT_NE(read.error().find("damaged"), std::string::npos) << name << ": " << read.error();
  }
}

TEST_F(RegionHeader, NoMagic_IsRefused) {
  const base::Result<vgpu_layout> read = ReadAfter([](vgpu_region_header* h) { h->magic ^= 1; });
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("no vgpu-ring header"), std::string::npos) << read.error();
}

TEST_F(RegionHeader, AnotherMajorVersion_IsRefusedWithBothVersions) {
  const base::Result<vgpu_layout> read = ReadAfter([](vgpu_region_header* h) { h->abi_version += 0x10000; });
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("2.0"), std::string::npos) << read.error();
  EXPECT_NE(read.error().find("1.0"), std::string::npos) << read.error();
}

TEST_F(RegionHeader, AnotherMinorVersion_IsRead) {
  EXPECT_TRUE(ReadAfter([](vgpu_region_header* h) { ++h->abi_version; }).has_value());
}

TEST_F(RegionHeader, MappingTooSmall_IsRefused) {
  EXPECT_FALSE(ReadLayout(base::Mapping()).has_value());
  const base::UniqueFd fd = Memfd(kBytes, kNeededSeals);
  const base::Mapping half = std::move(*base::MapShared(fd.get(), kBytes / 2));
  vgpu_region_header_fill(reinterpret_cast<vgpu_region_header*>(half.data()), &layout);
  EXPECT_FALSE(ReadLayout(half).has_value()) << "the header promises more than is mapped";
}

}  // namespace
}  // namespace vgpu::ring
