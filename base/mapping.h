// SPDX-License-Identifier: Apache-2.0
// Shared memory, mapped.
#ifndef VGPU_BASE_MAPPING_H_
#define VGPU_BASE_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"

namespace vgpu::base {

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

  // Unmaps up to `bytes` bytes (a multiple of the page size) at its end, so that large memory can go in
  // steps. False: nothing is left.
  bool UnmapSome(size_t bytes);

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Maps the first `bytes` bytes of `fd`, shared, readable and writable.
Result<Mapping> MapShared(int fd, uint64_t bytes);

// Makes every page of the mapping present, so that no request pays for a page fault; this process pays for
// the memory. Takes about 0.3 ms a MiB. Changes no byte, and may run beside others that use the memory.
Result<void> Populate(const Mapping& mapping);

// What Populate does where the kernel has no call for it (Linux before 5.14).
void TouchPages(const Mapping& mapping);

}  // namespace vgpu::base

#endif  // VGPU_BASE_MAPPING_H_
