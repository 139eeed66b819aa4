// SPDX-License-Identifier: Apache-2.0
#include "base/mapping.h"

#include <sys/mman.h>

#include <cerrno>

namespace vgpu::base {
namespace {

constexpr size_t kPageBytes = 4096;

}  // namespace

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

bool Mapping::UnmapSome(size_t bytes) {
  const size_t some = bytes < bytes_ ? bytes : bytes_;
  bytes_ -= some;
  if (some != 0) munmap(data() + bytes_, some);
  if (bytes_ == 0) data_ = nullptr;
  return bytes_ != 0;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<Mapping> MapShared(int fd, uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return SystemError("cannot map the shared memory");
  madvise(data, bytes, MADV_DONTDUMP);  // a VM's memory has no business in a core file
  return Mapping(data, bytes);
}

Result<void> Populate(const Mapping& mapping) {
  if (madvise(mapping.data(), mapping.bytes(), MADV_POPULATE_WRITE) == 0) return {};
  if (errno != EINVAL) {
    return SystemError(
        "cannot populate the shared memory (is there enough memory, or are there enough huge pages?)");
  }
  TouchPages(mapping);  // Linux before 5.14 does not know the advice
  return {};
}

// Exchanging a byte for itself is a write that nobody notices who uses the page.
void TouchPages(const Mapping& mapping) {
  for (char* page = mapping.data(); page < mapping.data() + mapping.bytes(); page += kPageBytes) {
    char byte = __atomic_load_n(page, __ATOMIC_RELAXED);
    __atomic_compare_exchange_n(page, &byte, byte, /*weak=*/false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
}

}  // namespace vgpu::base
