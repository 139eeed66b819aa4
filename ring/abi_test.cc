// SPDX-License-Identifier: Apache-2.0
#include "ring/abi.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "ring/abi_c_test.h"
#include "ring/control.h"
#include "ring/event_idx.h"
#include "ring/regs.h"

namespace {

template <class T>
std::string InMemory(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// ---- words and tags ----

TEST(Abi, Magics_ReadAsTextInMemory) {
  EXPECT_EQ(InMemory(uint64_t{VGPU_REGION_MAGIC}), "VGPURNG1");
  EXPECT_EQ(InMemory(uint64_t{VGPU_PRIVATE_MAGIC}), "VPGPRIV1");
  EXPECT_EQ(InMemory(uint32_t{VGPU_CONTROL_MAGIC}), "VGCT");
}

TEST(Abi, Word_KeepsDataAndSequence) {
  const uint64_t word = vgpu_word(0x89abcdef, 0x01234567);
  EXPECT_EQ(word, 0x0123456789abcdefu);
  EXPECT_EQ(vgpu_word_data(word), 0x89abcdefu);
  EXPECT_EQ(vgpu_word_seq(word), 0x01234567u);
}

TEST(Abi, SubmitWord_KeepsOpcodeTypeAndTag) {
  const uint64_t word = vgpu_submit_word(0xfffff, 0xfff, 0xabcdef);
  EXPECT_EQ(vgpu_word_data(word), 0x00ffffffu) << "opcode 16 bits, type 8 bits, zero 8 bits";
  EXPECT_EQ(vgpu_word_seq(word), 0xabcdef00u);
  EXPECT_EQ(vgpu_submit_tag(word), 0xabcdefu);
}

TEST(Abi, DoneWord_KeepsDataCodeAndTag) {
  const uint64_t word = vgpu_done_word(0x80000001, 0xabcdef, 0x1ff);
  EXPECT_EQ(vgpu_word_data(word), 0x80000001u);
  EXPECT_EQ(vgpu_done_tag(word), 0xabcdefu);
  EXPECT_EQ(vgpu_done_code(word), 0xffu) << "a code has 8 bits, and never spills into the tag";
}

TEST(Abi, Tag_OneSlot_RepeatsAfter65536Laps) {
  for (uint32_t entries_log2 = 1; entries_log2 <= 12; ++entries_log2) {
    const uint32_t first = 0u - (3u << entries_log2);  // wraps on its fourth lap
    std::set<uint32_t> tags;
    for (uint32_t lap = 0; lap < 65536; ++lap)
      tags.insert(vgpu_tag(1, first + (lap << entries_log2), entries_log2));
    EXPECT_EQ(tags.size(), 65536u) << entries_log2;
    EXPECT_TRUE(tags.contains(vgpu_tag(1, first + (65536u << entries_log2), entries_log2))) << entries_log2;
  }
}

TEST(Abi, Tag_Epochs_RepeatAfter255AndAreNeverZero) {
  for (uint32_t epoch : {0u, 0xfeu, 0xffffff00u, 0xfffffffeu}) {
    std::set<uint32_t> tags;
    for (int i = 0; i < 255; ++i) {
      epoch = vgpu_epoch_next(epoch);
      EXPECT_NE(epoch & 0xffu, 0u);
      const uint32_t tag = vgpu_tag(epoch, 0, 8);
      EXPECT_NE(tag, 0u) << "zeroed memory holds no valid tag";
      EXPECT_LT(tag, 1u << 24);
      tags.insert(tag);
    }
    EXPECT_EQ(tags.size(), 255u);
  }
  EXPECT_EQ(vgpu_epoch_next(0xffffffffu), 1u);
}

// ---- layout ----

struct Sizes {
  uint64_t region_bytes;
  uint32_t ring_count;
  uint32_t entries;
};

// Every combination of legal single values.
std::vector<Sizes> AllSizes() {
  std::vector<Sizes> all;
  for (uint64_t bytes = VGPU_REGION_BYTES_MIN; bytes <= VGPU_REGION_BYTES_MAX; bytes *= 2) {
    for (uint32_t rings = 1; rings <= VGPU_RINGS_MAX; ++rings) {
      for (uint32_t entries = VGPU_ENTRIES_MIN; entries <= VGPU_ENTRIES_MAX; entries *= 2) {
        all.push_back({bytes, rings, entries});
      }
    }
  }
  return all;
}

// Header page, and for each ring control lines, slots and at least a page of arena, in whole pages.
bool Fits(const Sizes& sizes) {
  const uint64_t ring = (512 + uint64_t{sizes.entries} * 64 + 4095) / 4096 + 1;
  return (sizes.region_bytes / 4096 - 1) / sizes.ring_count >= ring;
}

TEST(Abi, Layout_AllSizes_PagesThatDoNotOverlap) {
  int made = 0;
  for (const Sizes& sizes : AllSizes()) {
    SCOPED_TRACE(testing::Message() << sizes.region_bytes << " bytes, " << sizes.ring_count << " rings, "
                                    << sizes.entries << " entries");
    vgpu_layout layout;
    const bool ok = vgpu_layout_make(sizes.region_bytes, sizes.ring_count, sizes.entries, &layout) == 0;
    ASSERT_EQ(ok, Fits(sizes));
    if (!ok) continue;
    ++made;
    ASSERT_GE(layout.ring_off, sizeof(vgpu_region_header));
    ASSERT_EQ(layout.ring_off % VGPU_PAGE_BYTES, 0u);
    ASSERT_EQ(layout.ring_stride % VGPU_PAGE_BYTES, 0u);
    ASSERT_EQ(layout.arena_off % VGPU_PAGE_BYTES, 0u);
    ASSERT_GE(layout.arena_off, VGPU_SLOTS_OFF + uint64_t{sizes.entries} * sizeof(vgpu_slot));
    ASSERT_GE(layout.arena_bytes, VGPU_PAGE_BYTES);
    ASSERT_EQ(layout.arena_off + layout.arena_bytes, layout.ring_stride);
    ASSERT_LE(layout.ring_off + layout.ring_stride * layout.ring_count, layout.region_bytes);
    ASSERT_LT(layout.region_bytes - layout.ring_off - layout.ring_stride * layout.ring_count,
              uint64_t{layout.ring_count} * VGPU_PAGE_BYTES)
        << "wasted pages";
    ASSERT_EQ(layout.region_bytes, sizes.region_bytes);
    ASSERT_EQ(layout.ring_count, sizes.ring_count);
    ASSERT_EQ(layout.entries, sizes.entries);
  }
  EXPECT_GT(made, 1000);
}

TEST(Abi, Layout_IllegalSizes_AreRefused) {
  const Sizes illegal[] = {
      {0, 1, 256},
      {VGPU_REGION_BYTES_MIN / 2, 1, 2},
      {VGPU_REGION_BYTES_MAX * 2, 1, 2},
      {(16u << 20) + 4096, 1, 256},
      {(16u << 20) - 1, 1, 256},
      {~uint64_t{0}, 1, 256},
      {16u << 20, 0, 256},
      {16u << 20, VGPU_RINGS_MAX + 1, 256},
      {16u << 20, ~0u, 256},
      {16u << 20, 8, 0},
      {16u << 20, 8, 1},
      {16u << 20, 8, 255},
      {16u << 20, 8, VGPU_ENTRIES_MAX * 2},
      {16u << 20, 8, 0x80000000u},
  };
  for (const Sizes& sizes : illegal) {
    vgpu_layout layout;
    EXPECT_EQ(vgpu_layout_make(sizes.region_bytes, sizes.ring_count, sizes.entries, &layout), -1)
        << sizes.region_bytes << " " << sizes.ring_count << " " << sizes.entries;
  }
}

// Everything of the region but arenas and what is left over at its end, in the region's order, without gaps
// in the file.
TEST(Abi, RingsFile_AllSizes_HasPageZeroAndTheRingPages) {
  for (const Sizes& sizes : AllSizes()) {
    SCOPED_TRACE(testing::Message() << sizes.region_bytes << " bytes, " << sizes.ring_count << " rings, "
                                    << sizes.entries << " entries");
    vgpu_layout layout;
    if (vgpu_layout_make(sizes.region_bytes, sizes.ring_count, sizes.entries, &layout) != 0) continue;
    uint64_t file_off = 0;
    uint64_t region_off = 0;
    for (uint32_t q = 0; q < layout.ring_count; ++q) {
      const vgpu_rings_piece piece = vgpu_rings_piece_of(&layout, q);
      ASSERT_EQ(piece.file_off, file_off);
      ASSERT_EQ(piece.region_off, region_off);
      ASSERT_EQ(piece.bytes % VGPU_PAGE_BYTES, 0u);
      file_off += piece.bytes;
      region_off += piece.bytes + layout.arena_bytes;
      ASSERT_EQ(piece.region_off + piece.bytes, layout.ring_off + q * layout.ring_stride + layout.arena_off);
      vgpu_rings_piece c = {};
      vgpu_c_rings_piece(&layout, q, &c);
      ASSERT_EQ(std::memcmp(&c, &piece, sizeof c), 0);
    }
    ASSERT_EQ(file_off, vgpu_rings_bytes(&layout));
    ASSERT_LE(file_off, uint64_t{VGPU_RINGS_BYTES_MAX});
    ASSERT_LE(region_off, layout.region_bytes);
  }
  vgpu_layout largest;
  ASSERT_EQ(vgpu_layout_make(16u << 20, VGPU_RINGS_MAX, VGPU_ENTRIES_MAX, &largest), 0);
  EXPECT_EQ(vgpu_rings_bytes(&largest), uint64_t{VGPU_RINGS_BYTES_MAX});
}

TEST(Abi, PrivateFile_Filled_AsksToOpenTheWindowRingOnly) {
  std::vector<uint64_t> file(VGPU_PRIVATE_BYTES / sizeof(uint64_t), 0);
  vgpu_private_fill(file.data());
  const auto* header = reinterpret_cast<const vgpu_private_header*>(file.data());
  EXPECT_EQ(header->magic, VGPU_PRIVATE_MAGIC);
  EXPECT_EQ(header->abi_version, VGPU_ABI_VERSION);
  EXPECT_EQ(header->bytes, VGPU_PRIVATE_BYTES);
  EXPECT_EQ(file[VGPU_WINDOW_RING_OFF / sizeof(uint64_t)], vgpu_word(VGPU_EPOCH_OPEN, VGPU_WINDOW_EPOCH));
  size_t written = 0;
  for (const uint64_t word : file) written += word != 0;
  EXPECT_EQ(written, 3u) << "two words of header and the epoch request; all else is zero";
}

// ---- C ----

TEST(Abi, C11_SameSizesAsCxx20) {
  EXPECT_EQ(vgpu_c_sizes.slot, sizeof(vgpu_slot));
  EXPECT_EQ(vgpu_c_sizes.ring_control, sizeof(vgpu_ring_control));
  EXPECT_EQ(vgpu_c_sizes.region_header, sizeof(vgpu_region_header));
  EXPECT_EQ(vgpu_c_sizes.device_info, sizeof(vgpu_device_info));
  EXPECT_EQ(vgpu_c_sizes.journal, sizeof(vgpu_journal));
  EXPECT_EQ(vgpu_c_sizes.private_header, sizeof(vgpu_private_header));
  EXPECT_EQ(vgpu_c_sizes.msg_header, sizeof(vgpu_msg_header));
  EXPECT_EQ(vgpu_c_sizes.msg_hello, sizeof(vgpu_msg_hello));
  EXPECT_EQ(vgpu_c_sizes.msg_attach, sizeof(vgpu_msg_attach));
  EXPECT_EQ(vgpu_c_sizes.msg_ring, sizeof(vgpu_msg_ring));
  EXPECT_EQ(vgpu_c_sizes.msg_grant, sizeof(vgpu_msg_grant));
  EXPECT_EQ(vgpu_c_sizes.msg_state, sizeof(vgpu_msg_state));
  EXPECT_EQ(vgpu_c_sizes.msg_error, sizeof(vgpu_msg_error));
  EXPECT_EQ(vgpu_c_sizes.window_request, sizeof(vgpu_window_request));
  EXPECT_EQ(vgpu_c_sizes.window_response, sizeof(vgpu_window_response));
}

TEST(Abi, C11_SameFunctionsAsCxx20) {
  for (uint32_t idx = 0xffffff00u; idx != 0x100; ++idx) {
    ASSERT_EQ(vgpu_c_tag(0x1ff, idx, 3), vgpu_tag(0x1ff, idx, 3));
    ASSERT_EQ(vgpu_c_need_event(idx, 2, 0xfffffff0u), vgpu_need_event(idx, 2, 0xfffffff0u));
  }
  for (const Sizes& sizes : AllSizes()) {
    vgpu_layout c = {};
    vgpu_layout cxx = {};
    ASSERT_EQ(vgpu_c_layout_make(sizes.region_bytes, sizes.ring_count, sizes.entries, &c),
              vgpu_layout_make(sizes.region_bytes, sizes.ring_count, sizes.entries, &cxx));
    ASSERT_EQ(std::memcmp(&c, &cxx, sizeof c), 0);
  }
}

TEST(Regs, Doorbells_OnePageEachInsideBar0) {
  for (uint32_t q = 0; q < VGPU_RINGS_MAX; ++q) {
    EXPECT_EQ(VGPU_DOORBELL_OFF(q) % VGPU_PAGE_BYTES, 0u);
    EXPECT_EQ(VGPU_DOORBELL_OFF(q) / VGPU_PAGE_BYTES, 1 + q);
    EXPECT_LE(VGPU_DOORBELL_OFF(q) + VGPU_DOORBELL_PAGE_BYTES, VGPU_BAR0_BYTES);
  }
  EXPECT_TRUE(std::has_single_bit(VGPU_BAR0_BYTES));
  EXPECT_EQ(VGPU_REG_REFUSAL, 0x84cu);
  EXPECT_EQ(VGPU_REG_REFUSAL, VGPU_REG_RING_STATE + 4);
  EXPECT_LE(VGPU_REG_REFUSAL + 4, VGPU_PAGE_BYTES);
  EXPECT_EQ(VGPU_REG_RESPONSE_BUF - VGPU_REG_REQUEST_BUF, VGPU_WINDOW_BUF_BYTES);
  EXPECT_EQ(VGPU_REG_RING_CAPS - VGPU_REG_RESPONSE_BUF, VGPU_WINDOW_BUF_BYTES);
}

}  // namespace
