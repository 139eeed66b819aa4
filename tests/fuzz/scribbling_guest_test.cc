// SPDX-License-Identifier: Apache-2.0
// A consumer on real memory while another thread writes rubbish and plausible words all over the ring.
// ring_consumer_fuzz.cc does the same step by step; this one meets the machine's own timing.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "ring/abi.h"
#include "ring/consumer.h"
#include "ring/memory.h"
#include "ring/ring_ref.h"

namespace vgpu::ring {
namespace {

constexpr uint32_t kEntries = 8;
constexpr uint32_t kEpoch = 1;
constexpr uint32_t kRequests = 50'000;

using Memory = std::array<uint64_t, (VGPU_SLOTS_OFF + kEntries * sizeof(vgpu_slot)) / sizeof(uint64_t)>;

// The guest: any word, with rubbish or with a request whose turn it might be.
void Scribble(Memory* memory, const RingRef<RealMemory>& ref, const std::atomic<uint32_t>& cons,
              const std::atomic<bool>& stop, uint64_t seed) {
  std::mt19937_64 random(seed);
  while (!stop.load(std::memory_order_relaxed)) {
    const uint64_t value = random();
    const uint32_t idx = cons.load(std::memory_order_relaxed) + value % kEntries;
    switch (value >> 32 & 7) {
      case 0: RealMemory::StoreRelaxed(&(*memory)[random() % memory->size()], value); break;
      case 1:
        RealMemory::StoreRelaxed(ref.call_event, vgpu_word(static_cast<uint32_t>(value), kEpoch));
        break;
      default:
        RealMemory::StoreRelaxed(ref.arg(idx, value % VGPU_SLOT_ARGS), value);
        RealMemory::StoreRelease(ref.submit(idx), vgpu_submit_word(VGPU_OP_ADD, 0, ref.tag(kEpoch, idx)));
        break;
    }
  }
}

TEST(ScribblingGuest, AnyWords_ConsumerKeepsItsRules) {
  const char* const given = std::getenv("VGPU_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("seed %llu (VGPU_SEED repeats it)\n", static_cast<unsigned long long>(seed));

  alignas(VGPU_LINE_BYTES) Memory memory{};
  const RingRef<RealMemory> ref = RingAt(memory.data(), kEntries);
  std::atomic<uint32_t> cons{0};
  std::atomic<bool> stop{false};
  std::thread guest([&] { Scribble(&memory, ref, cons, stop, seed); });

  Consumer<RealMemory> consumer(ref, kEpoch);
  std::mt19937_64 random(~seed);
  std::bitset<kEntries> busy;
  std::vector<uint32_t> in_flight;
  uint32_t lies = 0;
  while (consumer.completed() < kRequests && !HasFailure()) {
    SlotCopy copy;
    if (!busy[consumer.cons() % kEntries] && consumer.Take(&copy)) {
      const uint32_t idx = consumer.cons() - 1;
      EXPECT_EQ(vgpu_submit_tag(copy.submit), ref.tag(kEpoch, idx));
      busy[idx % kEntries] = true;
      in_flight.push_back(idx);
      cons.store(consumer.cons(), std::memory_order_relaxed);
    } else if (busy[consumer.cons() % kEntries]) {
      lies += consumer.Ready();  // the slot is in use and yet there is a next request
    }
    consumer.ArmKick();
    EXPECT_LE(in_flight.size(), kEntries);
    if (in_flight.empty() || random() % 2 == 0) continue;
    std::swap(in_flight[random() % in_flight.size()], in_flight.back());
    const uint32_t idx = in_flight.back();
    in_flight.pop_back();
    consumer.Complete(idx, {VGPU_OK, 0});
    consumer.NeedCall();
    EXPECT_FALSE(consumer.NeedCall()) << "one answer, one call at most";
    busy[idx % kEntries] = false;
  }
  stop = true;
  guest.join();
  EXPECT_GT(lies, 0u) << "the guest was too tame";
}

}  // namespace
}  // namespace vgpu::ring
