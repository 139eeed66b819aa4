// SPDX-License-Identifier: Apache-2.0
#include "guest/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<uint64_t> g_allocations{0};
}  // namespace

// ThreadSanitizer brings operators of its own and cannot do without them: in its build nothing is counted.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VGPU_COUNTS_NOTHING
#endif
#endif

#ifndef VGPU_COUNTS_NOTHING
// In a file of their own: inlined beside malloc and free, gcc takes them for mismatched.
void* operator new(size_t bytes) {
  ++g_allocations;
  if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace vgpu::guest {

uint64_t AllocationCount() { return g_allocations.load(); }

bool AllocationsAreCounted() {
#ifdef VGPU_COUNTS_NOTHING
  return false;
#else
  return true;
#endif
}

}  // namespace vgpu::guest
