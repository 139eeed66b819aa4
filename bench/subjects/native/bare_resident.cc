// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "bench/subjects/native/native.h"
#include "gpu/resident_abi.h"
#include "ring/ring_ref.h"

namespace vgpu::bench {
namespace {

using Memory = ring::RealMemory;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{5};
constexpr unsigned kThreads = 32;  // in a block: no warp waits for another
// The memory: the ring, then slots as a guest's ring has them.
constexpr uint64_t kSlotsOff = (sizeof(VgpuResidentRing) + 4095) / 4096 * 4096;
constexpr uint64_t kMemoryBytes = 1 << 20;
static_assert(kSlotsOff + VGPU_RESIDENT_ENTRIES * VGPU_RESIDENT_SLOT_WORDS * 8 <= kMemoryBytes);

static_assert(VGPU_RESIDENT_SLOT_WORDS == ring::kSlotWords);

class BareResident final : public Contestant {
 public:
  BareResident(Lab* lab, uint32_t depth) : lab_(lab), depth_(depth) {
    auto memory = GpuMemory::Create(*lab->device, kMemoryBytes);
    if (!memory) throw std::runtime_error(memory.error());
    memory_ = std::move(*memory);
    ring_ = reinterpret_cast<VgpuResidentRing*>(memory_->data());
    slots_ = reinterpret_cast<uint64_t*>(memory_->data() + kSlotsOff);
  }

  std::string name() const override { return fmt::format("bare resident kernel, depth {}", depth_); }
  pid_t server() const override { return getpid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    Start();
    uint64_t wrong = Ask(kWarmUp, nullptr);
    Stopwatch watch(latency_ns, 1);
    watch.Start();
    wrong += Ask(count, depth_ == 1 ? &watch : nullptr);
    const double ns = watch.NsSince(count);
    Stop();
    return {ns, wrong};
  }

 private:
  void Start() {
    *ring_ = {};
    // Laps, and so tags, begin anew.
    std::fill_n(slots_, VGPU_RESIDENT_ENTRIES * VGPU_RESIDENT_SLOT_WORDS, 0);
    ring_->slots[0] = reinterpret_cast<uint64_t*>(memory_->at(kSlotsOff));
    serial_ = 0;
    gpu::CuDevicePtr ring = memory_->at(0);
    void* parameters[] = {&ring};
    lab_->Must(lab_->device->Launch(gpu::Kernel::kResident, VGPU_RESIDENT_ENTRIES / kThreads, kThreads,
                                    lab_->urgent->get(), parameters),
               "starting the resident kernel");
  }
  void Stop() {
    Memory::StoreRelease(&ring_->stop, 1);
    lab_->Must(lab_->driver.StreamSynchronize(lab_->urgent->get()), "the end of the resident kernel");
  }

  static uint32_t LapOf(uint64_t serial) { return static_cast<uint32_t>(serial / VGPU_RESIDENT_ENTRIES) + 1; }
  // As a guest's tag and code would be: different in every lap.
  static uint32_t TagOf(uint64_t serial) { return LapOf(serial) << 8; }

  void Send(uint64_t serial, const Operands& operands) {
    const uint32_t e = serial % VGPU_RESIDENT_ENTRIES;
    const uint32_t lap = LapOf(serial);
    uint64_t* word = ring_->entries[e].word;
    Memory::StoreRelease(word + VGPU_RESIDENT_A, vgpu_word(static_cast<uint32_t>(operands.a), lap));
    Memory::StoreRelease(word + VGPU_RESIDENT_B, vgpu_word(static_cast<uint32_t>(operands.b), lap));
    Memory::StoreRelease(word + VGPU_RESIDENT_TO, vgpu_word(e, lap));
    Memory::StoreRelease(word + VGPU_RESIDENT_TAG, vgpu_word(TagOf(serial), lap));
  }
  bool Answered(uint64_t serial, uint32_t* sum) const {
    const uint64_t done =
        Memory::LoadAcquire(slots_ + (serial % VGPU_RESIDENT_ENTRIES) * VGPU_RESIDENT_SLOT_WORDS + 1);
    *sum = vgpu_word_data(done);
    return vgpu_word_seq(done) == TagOf(serial);
  }

  // Returns how many answers were wrong.
  uint64_t Ask(uint64_t count, Stopwatch* watch) {
    const uint64_t first = serial_;
    uint64_t sent = 0, got = 0, wrong = 0, polls = 0;
    auto give_up = steady_clock::now() + kPatience;
    while (got < count) {
      for (; sent < count && sent - got < depth_; ++sent) {
        if (watch != nullptr) watch->Sent(sent);
        Send(first + sent, OperandsOf(sent));
      }
      uint32_t sum;
      if (Answered(first + got, &sum)) {
        if (watch != nullptr) watch->Answered(got);
        wrong += sum != OperandsOf(got).sum();
        ++got;
      } else if (++polls % (1 << 24) == 0) {
        if (steady_clock::now() > give_up) throw std::runtime_error("the resident kernel does not answer");
      }
    }
    serial_ += count;
    return wrong;
  }

  Lab* const lab_;
  const uint32_t depth_;
  std::unique_ptr<GpuMemory> memory_;
  VgpuResidentRing* ring_ = nullptr;
  uint64_t* slots_ = nullptr;
  uint64_t serial_ = 0;
};

}  // namespace

std::unique_ptr<Contestant> MakeBareResident(Lab* lab, uint32_t depth) {
  return std::make_unique<BareResident>(lab, depth);
}

}  // namespace vgpu::bench
