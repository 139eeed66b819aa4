// SPDX-License-Identifier: Apache-2.0
#include "mediator/attach.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace vgpu::mediator {
namespace {

constexpr vgpu_msg_attach kClaim = {7, 'B', 2, 4, 64, 0, 1 << 20};

ring::UniqueFd Sealed(uint64_t bytes) {
  return std::move(ring::MakeOwnedMemory("vgpu-test", bytes).value().fd);
}

struct Checked {
  tl::expected<Grant, Refusal> grant;
  vgpu_layout layout{};
};

Checked Check(const vgpu_msg_attach& claim, const Config& config = {}) {
  Checked checked{tl::make_unexpected(Refusal{}), {}};
  checked.layout.ring_count = 99;
  checked.grant = CheckClaim(claim, config, &checked.layout);
  return checked;
}

uint32_t Code(const vgpu_msg_attach& claim, const Config& config = {}) {
  const Checked checked = Check(claim, config);
  if (checked.grant) return VGPU_OK;
  EXPECT_FALSE(checked.grant.error().text.empty());
  return checked.grant.error().code;
}

TEST(CheckClaimTest, NoConfiguration_ClaimIsGranted) {
  const Checked checked = Check(kClaim);
  ASSERT_TRUE(checked.grant);
  EXPECT_EQ(checked.grant->vm_id, 7u);
  EXPECT_EQ(checked.grant->pool, static_cast<uint32_t>('B'));
  EXPECT_EQ(checked.grant->priority, 2u);
  EXPECT_EQ(checked.layout.ring_count, 4u);
  EXPECT_EQ(checked.layout.region_bytes, uint64_t{1} << 20);
}

TEST(CheckClaimTest, RingOff_HasNoLayout) {
  const Checked checked = Check({7, 'A', 0, 0, 0, 0, 0});
  ASSERT_TRUE(checked.grant);
  EXPECT_EQ(checked.layout.ring_count, 0u);
  EXPECT_EQ(Code({7, 'A', 0, 0, 0, 0, 1 << 20}), VGPU_ERR_INVALID_REQUEST);
}

TEST(CheckClaimTest, Configuration_Decides) {
  Config config;
  config.vms = {{7, 'A', 0}, {8, 'B', 1}};
  const Checked checked = Check(kClaim, config);
  ASSERT_TRUE(checked.grant);
  EXPECT_EQ(checked.grant->pool, static_cast<uint32_t>('A'));
  EXPECT_EQ(checked.grant->priority, 0u);
  vgpu_msg_attach stranger = kClaim;
  stranger.vm_id = 9;
  EXPECT_EQ(Code(stranger, config), VGPU_ERR_INVALID_REQUEST);
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

class PrepareMemoryTest : public testing::Test {
 protected:
  PrepareMemoryTest() { EXPECT_EQ(vgpu_layout_make(1 << 20, 2, 64, &layout_), 0); }

  std::string Error(const ring::UniqueFd& private_file, const ring::UniqueFd& region) {
    const auto memory = PrepareMemory(layout_, private_file, region);
    return memory ? "no error" : memory.error().text;
  }

  vgpu_layout layout_{};
};

TEST_F(PrepareMemoryTest, RightFiles_MappedSharedAndPresent) {
  const ring::UniqueFd file = Sealed(VGPU_PRIVATE_BYTES), region = Sealed(1 << 20);
  const auto memory = PrepareMemory(layout_, file, region);
  ASSERT_TRUE(memory) << memory.error().text;
  EXPECT_EQ(memory->region.bytes(), size_t{1} << 20);
  EXPECT_EQ(memory->private_file.bytes(), size_t{VGPU_PRIVATE_BYTES});
  EXPECT_EQ(memory->layout.ring_count, 2u);
  const auto other = ring::MapShared(region.get(), 1 << 20);
  ASSERT_TRUE(other);
  memory->region.data()[12345] = 42;
  EXPECT_EQ(other->data()[12345], 42);
  std::string present((1 << 20) / VGPU_PAGE_BYTES, '\0');
  ASSERT_EQ(mincore(memory->region.data(), 1 << 20, reinterpret_cast<unsigned char*>(present.data())), 0);
  for (const char page : present) EXPECT_EQ(page & 1, 1);
}

TEST_F(PrepareMemoryTest, RingOff_NeedsNoRegion) {
  layout_ = {};
  const auto memory = PrepareMemory(layout_, Sealed(VGPU_PRIVATE_BYTES), ring::UniqueFd());
  ASSERT_TRUE(memory) << memory.error().text;
  EXPECT_FALSE(memory->region);
}

TEST_F(PrepareMemoryTest, WrongFiles_NameWhichAndWhy) {
  const ring::UniqueFd file = Sealed(VGPU_PRIVATE_BYTES), region = Sealed(1 << 20);
  const ring::UniqueFd unsealed(memfd_create("vgpu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), 1 << 20), 0);
  EXPECT_EQ(Error(file, region), "no error");
  EXPECT_EQ(Error(file, unsealed).rfind("the region: the shared memory is not sealed", 0), 0u);
  EXPECT_EQ(Error(unsealed, region).rfind("the private file: the shared memory is not sealed", 0), 0u);
  EXPECT_EQ(Error(region, region).rfind("the private file: the shared memory has 1048576 bytes", 0), 0u);
  EXPECT_EQ(Error(file, file).rfind("the region: the shared memory has 262144 bytes", 0), 0u);
  EXPECT_EQ(Error(file, ring::UniqueFd()).rfind("the region: ", 0), 0u);
}

}  // namespace
}  // namespace vgpu::mediator
