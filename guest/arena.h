// SPDX-License-Identifier: Apache-2.0
// Who uses which part of a ring's arena. Offsets only; the arena's memory is never read or written here, so
// that nothing the other side writes can mislead it.
#ifndef VGPU_GUEST_ARENA_H_
#define VGPU_GUEST_ARENA_H_

#include <cstdint>
#include <map>
#include <optional>

namespace vgpu::guest {

// First fit, lowest offset first; neighbours are joined when freed. Blocks start and end on cache lines, so
// no two buffers share one. Not for the request path: keep buffers and use them again. Single-threaded.
class Arena {
 public:
  static constexpr uint64_t kAlign = 64;

  explicit Arena(uint64_t bytes);

  // The offset of a block of at least `bytes` bytes (of one cache line for 0), a multiple of kAlign; nothing
  // if no hole is long enough.
  std::optional<uint64_t> Allocate(uint64_t bytes);

  // False, and nothing happens, if no block in use starts at `offset`.
  bool Free(uint64_t offset);

  uint64_t free_bytes() const { return free_bytes_; }
  // The largest block that Allocate can give now.
  uint64_t largest() const;

 private:
  std::map<uint64_t, uint64_t> holes_;  // offset -> bytes; never adjacent
  std::map<uint64_t, uint64_t> used_;   // offset -> bytes
  uint64_t free_bytes_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_ARENA_H_
