// SPDX-License-Identifier: Apache-2.0
// The resident kernel: one thread looks at the entries in turn.
#include <sched.h>

#include <array>
#include <chrono>

#include "gpu/fake/cuda_kernels.h"
#include "gpu/fake/cuda_memory.h"
#include "gpu/resident_abi.h"

namespace vgpu::gpu::fake {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kGapEvery{5};
constexpr int kPauses = 32;  // before the CPU is given away

// Every word is shared with the host.
uint64_t Load(const uint64_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
void Store(uint64_t* word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }

void Pause() {
  for (int i = 0; i < kPauses; ++i) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  sched_yield();
}

class Resident {
 public:
  Resident(VgpuResidentRing* ring, bool gaps) : ring_(ring), gaps_wanted_(gaps) { laps_.fill(1); }

  CuResult Run(CuContext context) {
    if (!Reachable(reinterpret_cast<uint64_t>(ring_), sizeof *ring_)) return kIllegalAddress;
    while (!context->broken()) {
      bool answered = false;
      for (uint32_t e = 0; e < VGPU_RESIDENT_ENTRIES; ++e) {
        if (const CuResult checked = Check(e, &answered); checked != kCuSuccess) return checked;
      }
      if (Load(&ring_->stop) != 0) break;
      if (gaps_wanted_) CountGap();
      if (!answered) Pause();
    }
    return kCuSuccess;
  }

 private:
  // An entry is a request when all its words are of the lap.
  CuResult Check(uint32_t e, bool* answered) {
    std::array<uint64_t, 4> word;
    for (size_t i = 0; i < word.size(); ++i) {
      word[i] = Load(&ring_->entries[e].word[i]);
      if (word[i] >> 32 != laps_[e]) return kCuSuccess;
    }
    *answered = true;
    return Answer(e, word);
  }

  CuResult Answer(uint32_t e, const std::array<uint64_t, 4>& word) {
    const auto place = static_cast<uint32_t>(word[VGPU_RESIDENT_TO]);
    const uint32_t slot = place & ((1u << VGPU_RESIDENT_SLOT_BITS) - 1);
    uint64_t* const slots = reinterpret_cast<uint64_t*>(SlotsOf(place >> VGPU_RESIDENT_SLOT_BITS));
    uint64_t* const done = slots + size_t{slot} * VGPU_RESIDENT_SLOT_WORDS + 1;
    if (!Reachable(reinterpret_cast<uint64_t>(done), sizeof *done)) return kIllegalAddress;
    const uint32_t sum =
        static_cast<uint32_t>(word[VGPU_RESIDENT_A]) + static_cast<uint32_t>(word[VGPU_RESIDENT_B]);
    Store(done, word[VGPU_RESIDENT_TAG] << 32 | sum);
    Store(&ring_->finished[e], uint64_t{laps_[e]} << 32 | sum);
    if (++laps_[e] == 0) laps_[e] = 1;
    return kCuSuccess;
  }

  uint64_t SlotsOf(uint32_t ring) const {
    if (ring >= VGPU_RESIDENT_RINGS) return 0;
    return reinterpret_cast<uint64_t>(__atomic_load_n(&ring_->slots[ring], __ATOMIC_RELAXED));
  }

  void CountGap() {
    const auto now = steady_clock::now();
    if (now < next_gap_) return;
    next_gap_ = now + kGapEvery;
    Store(&ring_->gaps, ++gaps_);
  }

  VgpuResidentRing* const ring_;
  const bool gaps_wanted_;
  std::array<uint32_t, VGPU_RESIDENT_ENTRIES> laps_;
  uint64_t gaps_ = 0;
  steady_clock::time_point next_gap_ = steady_clock::now() + kGapEvery;
};

}  // namespace

Work PrepareResident(const Launch& launch) {
  if (uint64_t{launch.grid_x} * launch.block_x != VGPU_RESIDENT_ENTRIES) return nullptr;
  return [ring = launch.parameter<VgpuResidentRing*>(0), gaps = Setting("FAKE_CUDA_GAPS", 0) != 0](
             CuContext context) { return Resident(ring, gaps).Run(context); };
}

}  // namespace vgpu::gpu::fake
