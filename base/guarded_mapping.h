// SPDX-License-Identifier: Apache-2.0
// A mapping of memory that another process can take away. Its bus errors are survived and counted.
#ifndef VGPU_BASE_GUARDED_MAPPING_H_
#define VGPU_BASE_GUARDED_MAPPING_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/bus_error_guard.h"
#include "base/mapping.h"

namespace vgpu::base {

class GuardedMapping {
 public:
  GuardedMapping() = default;
  // guarded() is false if there is no place for another range. `told` is as in bus_error_guard.h.
  explicit GuardedMapping(Mapping mapping, std::atomic<uint64_t>* told = nullptr)
      : mapping_(std::move(mapping)),
        guard_(bus_error_guard::Guard(mapping_.data(), mapping_.bytes(), told)) {}
  GuardedMapping(GuardedMapping&& other) noexcept
      : mapping_(std::move(other.mapping_)), guard_(std::exchange(other.guard_, -1)) {}
  GuardedMapping& operator=(GuardedMapping&& other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(guard_, other.guard_);
    return *this;
  }
  ~GuardedMapping() { bus_error_guard::Forget(guard_); }

  char* data() const { return mapping_.data(); }
  size_t bytes() const { return mapping_.bytes(); }
  explicit operator bool() const { return static_cast<bool>(mapping_); }
  bool guarded() const { return guard_ >= 0; }

  // Was there a bus error in it? Any thread. Cheap as long as there was none in the whole process.
  bool lost() const { return bus_error_guard::TotalHits() != 0 && bus_error_guard::Hits(guard_) != 0; }

  // There was one in another process's mapping of the same memory. Any thread.
  void CountLost() const { bus_error_guard::Count(guard_); }

  // Unmaps up to `bytes` bytes at its end, so that large memory can go in steps. False: nothing is left.
  bool UnmapSome(size_t bytes) {
    bus_error_guard::Shrink(guard_, mapping_.bytes() > bytes ? mapping_.bytes() - bytes : 0);
    return mapping_.UnmapSome(bytes);
  }

 private:
  Mapping mapping_;
  int guard_ = -1;
};

}  // namespace vgpu::base

#endif  // VGPU_BASE_GUARDED_MAPPING_H_
