// SPDX-License-Identifier: Apache-2.0
// A guest reads the header of a region that anybody may have written. Whatever it holds: what is accepted
// lies inside the mapping, and is what the sizes say.
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/mapping.h"
#include "base/result.h"
#include "ring/abi.h"
#include "ring/region.h"
#include "tests/fuzz/input.h"

namespace vgpu::ring {
namespace {

// A valid header, most of the time, so that the input's changes reach the last check.
void Fill(fuzz::Input* input, vgpu_region_header* header) {
  vgpu_layout layout = {};
  const uint64_t bytes = uint64_t{VGPU_REGION_BYTES_MIN} << input->Take<uint8_t>() % 8;
  if (vgpu_layout_make(bytes, 1 + input->Take<uint8_t>() % 8, 2u << input->Take<uint8_t>() % 12, &layout) ==
      0) {
    vgpu_region_header_fill(header, &layout);
  }
  while (!input->ended()) {
    const size_t at = input->Take<uint8_t>() % (sizeof *header - sizeof(uint64_t));
    const uint64_t change = input->Take<uint64_t>();
    uint64_t value;
    std::memcpy(&value, reinterpret_cast<char*>(header) + at, sizeof value);
    value ^= change;
    std::memcpy(reinterpret_cast<char*>(header) + at, &value, sizeof value);
  }
}

void ReadHeader(fuzz::Input input) {
  const size_t mapped = size_t{VGPU_REGION_BYTES_MIN} << input.Take<uint8_t>() % 6;
  void* const data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FUZZ_CHECK(data != MAP_FAILED);
  const base::Mapping mapping(data, mapped);
  Fill(&input, static_cast<vgpu_region_header*>(data));
  const base::Result<vgpu_layout> read = ReadLayout(mapping);
  if (!read.has_value()) {
    FUZZ_CHECK(!read.error().empty());
    return;
  }
  FUZZ_CHECK(read->ring_count >= 1 && read->ring_count <= VGPU_RINGS_MAX);
  FUZZ_CHECK(read->ring_off + read->ring_stride * read->ring_count <= mapped);
  FUZZ_CHECK(VGPU_SLOTS_OFF + uint64_t{read->entries} * sizeof(vgpu_slot) <= read->arena_off);
  FUZZ_CHECK(read->arena_off + read->arena_bytes == read->ring_stride);
}

}  // namespace
}  // namespace vgpu::ring

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vgpu::ring::ReadHeader({data, size});
  return 0;
}
