// SPDX-License-Identifier: Apache-2.0
#include "base/bus_error_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <mutex>

namespace vgpu::base::bus_error_guard {

std::atomic<uint64_t> g_hits{0};

namespace {

constexpr int kRangesMax = 4096;
constexpr uint64_t kSinglePagesMax = 64;

// The handler reads these while other threads change them: `begin` is written last and cleared first.
struct Range {
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> bytes{0};
  std::atomic<uint64_t> hits{0};
  std::atomic<std::atomic<uint64_t>*> told{nullptr};
};
Range g_ranges[kRangesMax];
std::mutex g_places;  // held by who takes one

bool ReplaceWith(uintptr_t begin, size_t bytes) {
  void* page = reinterpret_cast<void*>(begin);
  return mmap(page, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
              -1, 0) != MAP_FAILED;
}

// A chunk around `address`, or as much of it as lies in the range.
bool ReplaceChunk(const Range& range, uintptr_t address, size_t chunk) {
  const uintptr_t range_begin = range.begin.load(std::memory_order_relaxed);
  const uintptr_t range_end = range_begin + range.bytes.load(std::memory_order_relaxed);
  const uintptr_t begin = std::max(address & ~(chunk - 1), range_begin);
  const uintptr_t end = std::min((address & ~(chunk - 1)) + chunk, range_end);
  return ReplaceWith(begin, end - begin);
}

// Only system calls and lock-free atomics: async-signal-safe. A page at first, and more at a time for who
// goes on: a process may have some 65,000 mappings only. A huge page is replaced as a whole.
bool Replace(const Range& range, uintptr_t address) {
  constexpr size_t kPage = 4096, kChunk = 2u << 20, kGiant = 1u << 30;
  const bool few = range.hits.load(std::memory_order_relaxed) < kSinglePagesMax;
  return (few && ReplaceWith(address & ~(kPage - 1), kPage)) || ReplaceChunk(range, address, kChunk) ||
         ReplaceChunk(range, address, kGiant);
}

void CountIn(Range* range) {
  range->hits.fetch_add(1, std::memory_order_relaxed);
  g_hits.fetch_add(1, std::memory_order_relaxed);
  if (std::atomic<uint64_t>* told = range->told.load(std::memory_order_relaxed))
    told->fetch_add(1, std::memory_order_release);
}

void OnBusError(int signal, siginfo_t* info, void*) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Range& range : g_ranges) {
    const uintptr_t begin = range.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address - begin >= range.bytes.load(std::memory_order_relaxed))
      continue;
    if (!Replace(range, address)) break;
    CountIn(&range);
    return;
  }
  struct sigaction fallback {};
  fallback.sa_handler = SIG_DFL;
  sigaction(signal, &fallback, nullptr);  // the access is repeated and ends the process
}

}  // namespace

void Install() {
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  [[maybe_unused]] const int result = sigaction(SIGBUS, &action, nullptr);
  assert(result == 0);
}

int Guard(const void* begin, size_t bytes, std::atomic<uint64_t>* told) {
  const std::lock_guard lock(g_places);
  for (int id = 0; id < kRangesMax; ++id) {
    Range& range = g_ranges[id];
    if (range.begin.load(std::memory_order_relaxed) != 0) continue;
    range.hits.store(0, std::memory_order_relaxed);
    range.told.store(told, std::memory_order_relaxed);
    range.bytes.store(bytes, std::memory_order_relaxed);
    range.begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
    return id;
  }
  return -1;
}

void Forget(int id) {
  if (id >= 0) g_ranges[id].begin.store(0, std::memory_order_release);
}

void Shrink(int id, size_t bytes) {
  if (id >= 0) g_ranges[id].bytes.store(bytes, std::memory_order_relaxed);
}

void Count(int id) {
  if (id >= 0) CountIn(&g_ranges[id]);
}

uint64_t Hits(int id) { return id < 0 ? 0 : g_ranges[id].hits.load(std::memory_order_relaxed); }

}  // namespace vgpu::base::bus_error_guard
