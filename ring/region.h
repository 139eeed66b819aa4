// SPDX-License-Identifier: Apache-2.0
// Shared memory between processes that do not trust each other: sealed memfds, made, checked and mapped.
#ifndef VGPU_RING_REGION_H_
#define VGPU_RING_REGION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "ring/abi.h"
#include "ring/unique_fd.h"

namespace vgpu::ring {

// A shared read-write mapping, unmapped at the end of its life.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  char* data() const { return static_cast<char*>(data_); }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

  // Unmaps up to `bytes` bytes (a multiple of the page size) of its end, for who must not take long. False: nothing is left.
  bool UnmapSome(size_t bytes);

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Errors are sentences that name the cause and the remedy.
template <class T>
using Result = tl::expected<T, std::string>;

// A zeroed memfd of `bytes` bytes that can neither shrink nor grow, nor lose these seals.
Result<UniqueFd> MakeSealedMemfd(const char* name, uint64_t bytes);

// Is `fd` such a memfd of exactly `bytes` bytes? Anything less could be truncated under its users (SIGBUS).
Result<void> CheckSealed(int fd, uint64_t bytes);

// Maps the first `bytes` bytes of `fd`, shared, readable and writable.
Result<Mapping> MapShared(int fd, uint64_t bytes);

// Makes every page of the mapping present, so that no request pays for a page fault; this process pays for the
// memory. Takes about 0.3 ms a MiB. Changes no byte, and may run beside others that use the memory.
Result<void> Populate(const Mapping& mapping);

// What Populate does where the kernel has no call for it (Linux before 5.14).
void TouchPages(const Mapping& mapping);

// Memory that its owner may attach: a sealed memfd, mapped, with every page present.
struct OwnedMemory {
  UniqueFd fd;
  Mapping mapping;
};
Result<OwnedMemory> MakeOwnedMemory(const char* name, uint64_t bytes);

// Lays a rings file (abi.h) over the region that is mapped at `region`. Whatever looks at the mapping's pages (guards,
// Populate) comes afterwards. On an error the mapping is worth nothing.
Result<void> OverlayRings(char* region, const vgpu_layout& layout, int rings_fd);

// A region that its owner may attach: two sealed memfds, one mapping in which the rings file covers its part of the region's,
// every page present, the header filled.
struct OwnedRegion {
  UniqueFd fd;
  UniqueFd rings_fd;
  Mapping mapping;
};
Result<OwnedRegion> MakeOwnedRegion(const vgpu_layout& layout);

// Reads a region's header as a guest does, which trusts the region's owner but not its version. The
// layout is the one that vgpu_layout_make computes, or an error.
Result<vgpu_layout> ReadLayout(const Mapping& region);

}  // namespace vgpu::ring

#endif  // VGPU_RING_REGION_H_
