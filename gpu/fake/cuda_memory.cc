// SPDX-License-Identifier: Apache-2.0
#include "gpu/fake/cuda_memory.h"

#include <unistd.h>

#include <algorithm>

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "gpu/fake/cuda.h"
#include "gpu/fake/cuda_stream.h"

namespace vgpu::gpu::fake {
namespace {

constexpr uint64_t kPage = 4096;

// Ranges that do not overlap: begin and end. Those that touch are one for who reads them.
class Ranges {
 public:
  bool Insert(uint64_t begin, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto next = ends_.lower_bound(begin);
    if (next != ends_.end() && next->first < begin + bytes) return false;
    if (next != ends_.begin() && std::prev(next)->second > begin) return false;
    ends_[begin] = begin + bytes;
    return true;
  }
  bool Erase(uint64_t begin) {
    const std::lock_guard lock(mutex_);
    return ends_.erase(begin) == 1;
  }
  bool Contain(uint64_t address, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    for (;;) {
      const auto after = ends_.upper_bound(address);
      if (after == ends_.begin()) return false;
      const uint64_t end = std::prev(after)->second;
      if (address >= end) return false;
      if (bytes <= end - address) return true;
      bytes -= end - address;
      address = end;
    }
  }

 private:
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> ends_;
};

// Never destroyed: threads of streams outlive main.
Ranges& registered() {
  static auto* const ranges = new Ranges;
  return *ranges;
}
Ranges& allocated() {
  static auto* const ranges = new Ranges;
  return *ranges;
}

uint64_t WholePages(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
uint64_t AddressOf(const void* memory) { return reinterpret_cast<uint64_t>(memory); }

CuResult EnqueueCopy(uint64_t to, uint64_t from, size_t bytes, CuStream stream) {
  return Enqueue(stream, [=](CuContext) {
    std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
    return kCuSuccess;
  });
}

}  // namespace

bool Reachable(uint64_t address, uint64_t bytes) {
  return registered().Contain(address, bytes) || allocated().Contain(address, bytes);
}

CuResult MemAlloc(CuDevicePtr* address, size_t bytes) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  if (bytes == 0) return kInvalidValue;
  void* const memory = std::aligned_alloc(kPage, WholePages(bytes));
  if (memory == nullptr) return kOutOfMemory;
  *address = AddressOf(memory);
  allocated().Insert(*address, bytes);
  return kCuSuccess;
}

// This and MemHostUnregister do what they are to in a broken context, too.
CuResult MemFree(CuDevicePtr address) {
  if (address == 0) return kCuSuccess;
  const CuResult waited = WaitForAll();
  if (waited == kInvalidContext) return waited;
  if (!allocated().Erase(address)) return kInvalidValue;
  std::free(reinterpret_cast<void*>(address));
  return waited;
}

CuResult MemHostRegister(void* memory, size_t bytes, unsigned) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  if (const CuResult wanted = Setting("FAKE_CUDA_REGISTER", kCuSuccess); wanted != kCuSuccess) return wanted;
  const auto hang_from_kib = static_cast<size_t>(Setting("FAKE_CUDA_HANG_FROM_KIB", 0));
  while (hang_from_kib != 0 && bytes >> 10 >= hang_from_kib) pause();
  if (memory == nullptr || bytes == 0 || AddressOf(memory) % kPage != 0) return kInvalidValue;
  return registered().Insert(AddressOf(memory), WholePages(bytes)) ? kCuSuccess : kAlreadyRegistered;
}

CuResult MemHostUnregister(void* memory) {
  const CuResult waited = WaitForAll();
  if (waited == kInvalidContext) return waited;
  return registered().Erase(AddressOf(memory)) ? waited : kNotRegistered;
}

CuResult MemHostGetDevicePointer(CuDevicePtr* address, void* memory, unsigned) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  if (!registered().Contain(AddressOf(memory), 1)) return kInvalidValue;
  *address = AddressOf(memory);
  return kCuSuccess;
}

CuResult MemcpyHtoDAsync(CuDevicePtr to, const void* from, size_t bytes, CuStream stream) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  return Reachable(to, bytes) ? EnqueueCopy(to, AddressOf(from), bytes, stream) : kInvalidValue;
}

CuResult MemcpyDtoHAsync(void* to, CuDevicePtr from, size_t bytes, CuStream stream) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  return Reachable(from, bytes) ? EnqueueCopy(AddressOf(to), from, bytes, stream) : kInvalidValue;
}

CuResult StreamWriteValue64(CuStream stream, CuDevicePtr address, uint64_t value, unsigned) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  if (address % sizeof value != 0 || !Reachable(address, sizeof value)) return kInvalidValue;
  return Enqueue(stream, [=](CuContext) {
    __atomic_store_n(reinterpret_cast<uint64_t*>(address), value, __ATOMIC_RELEASE);
    return kCuSuccess;
  });
}

CuResult MemsetD32(CuDevicePtr address, unsigned value, size_t count) {
  std::fill_n(reinterpret_cast<unsigned*>(address), count, value);
  return kCuSuccess;
}

}  // namespace vgpu::gpu::fake
