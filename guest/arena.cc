// SPDX-License-Identifier: Apache-2.0
#include "guest/arena.h"

#include <algorithm>
#include <iterator>

namespace vgpu::guest {

Arena::Arena(uint64_t bytes) : free_bytes_(bytes / kAlign * kAlign) {
  if (free_bytes_ > 0) holes_[0] = free_bytes_;
}

std::optional<uint64_t> Arena::Allocate(uint64_t bytes) {
  if (bytes > free_bytes_) return std::nullopt;  // also keeps the rounding below from wrapping
  const uint64_t need = std::max<uint64_t>(1, (bytes + kAlign - 1) / kAlign) * kAlign;
  const auto hole =
      std::find_if(holes_.begin(), holes_.end(), [&](const auto& h) { return h.second >= need; });
  if (hole == holes_.end()) return std::nullopt;
  const auto [offset, room] = *hole;
  holes_.erase(hole);
  if (room > need) holes_[offset + need] = room - need;
  used_[offset] = need;
  free_bytes_ -= need;
  return offset;
}

bool Arena::Free(uint64_t offset) {
  const auto block = used_.find(offset);
  if (block == used_.end()) return false;
  uint64_t bytes = block->second;
  used_.erase(block);
  free_bytes_ += bytes;

  auto next = holes_.lower_bound(offset);
  if (next != holes_.end() && offset + bytes == next->first) {
    bytes += next->second;
    next = holes_.erase(next);
  }
  if (next != holes_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return true;
    }
  }
  holes_[offset] = bytes;
  return true;
}

uint64_t Arena::largest() const {
  uint64_t most = 0;
  for (const auto& [offset, bytes] : holes_) most = std::max(most, bytes);
  return most;
}

}  // namespace vgpu::guest
