// SPDX-License-Identifier: Apache-2.0
// Survives a bus error in a guarded range (a page that is missing, or poisoned): an anonymous page takes its
// place in this process, the access goes on, and the bus error is counted.
// Any other bus error ends the process.
#ifndef VGPU_BASE_BUS_ERROR_GUARD_H_
#define VGPU_BASE_BUS_ERROR_GUARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vgpu::base::bus_error_guard {

// Installs the handler for the whole process. Once.
void Install();

// Guards [begin, begin + bytes). Returns an id for Hits and Forget, or -1 when all places are taken. Any
// thread. `told` (may be null) is incremented at each bus error before the access goes on: whoever sees a
// result of that access sees the increment, too.
int Guard(const void* begin, size_t bytes, std::atomic<uint64_t>* told = nullptr);
void Forget(int id);
// The range ends earlier from now on.
void Shrink(int id, size_t bytes);

// How many bus errors there were in all guarded ranges, and in one. Cheap: a relaxed load.
extern std::atomic<uint64_t> g_hits;
inline uint64_t TotalHits() { return g_hits.load(std::memory_order_relaxed); }
uint64_t Hits(int id);
// Another process has met one in the same memory: counts here, too.
void Count(int id);

}  // namespace vgpu::base::bus_error_guard

#endif  // VGPU_BASE_BUS_ERROR_GUARD_H_
