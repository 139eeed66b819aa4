// SPDX-License-Identifier: Apache-2.0
// virtio's packed layout: one ring of descriptors that both sides write. Two bits of a descriptor's flags
// say, by lap, whose it is. Of a batch the first descriptor's flags are written last. Written from the
// specification (virtio 1.2, 2.8).
#include <array>
#include <atomic>
#include <cstdint>

#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

constexpr uint16_t kAvail = 1 << 7;
constexpr uint16_t kUsed = 1 << 15;

template <size_t kRoom>
class VirtioPacked {
 public:
  static constexpr const char* kName = "virtio packed";

  size_t SendRequests(const Message* messages, size_t n) {
    for (size_t i = n; i-- > 0;) {  // the first one last
      const uint64_t at = driver_.sent + i;
      Descriptor& descriptor = ring_[at % kRoom];
      Message& buffer = buffers_[at % kRoom];
      buffer = messages[i];
      descriptor.address = reinterpret_cast<uint64_t>(&buffer);
      descriptor.bytes = sizeof(Message);
      descriptor.id = static_cast<uint16_t>(at % kRoom);
      descriptor.flags.store(Odd(at) ? kUsed : kAvail, std::memory_order_release);
    }
    driver_.sent += n;
    return n;
  }

  size_t TakeRequests(Message* messages, size_t n) {
    size_t taken = 0;
    for (; taken < n; ++taken) {
      const uint64_t at = device_.taken + taken;
      const Descriptor& descriptor = ring_[at % kRoom];
      const uint16_t flags = descriptor.flags.load(std::memory_order_acquire) & (kAvail | kUsed);
      if (flags != (Odd(at) ? kUsed : kAvail)) break;
      messages[taken] = *reinterpret_cast<const Message*>(descriptor.address);
    }
    device_.taken += taken;
    return taken;
  }

  size_t SendReplies(const Message* messages, size_t n) {
    for (size_t i = n; i-- > 0;) {
      const uint64_t at = device_.sent + i;
      Descriptor& descriptor = ring_[at % kRoom];
      *reinterpret_cast<Message*>(descriptor.address) = messages[i];
      descriptor.bytes = sizeof(Message);
      descriptor.flags.store(Odd(at) ? 0 : kAvail | kUsed, std::memory_order_release);
    }
    device_.sent += n;
    return n;
  }

  size_t TakeReplies(Message* messages, size_t n) {
    size_t taken = 0;
    for (; taken < n; ++taken) {
      const uint64_t at = driver_.taken + taken;
      const Descriptor& descriptor = ring_[at % kRoom];
      const uint16_t flags = descriptor.flags.load(std::memory_order_acquire) & (kAvail | kUsed);
      if (flags != (Odd(at) ? 0 : kAvail | kUsed)) break;
      messages[taken] = buffers_[descriptor.id];
    }
    driver_.taken += taken;
    return taken;
  }

 private:
  static_assert((kRoom & (kRoom - 1)) == 0 && kRoom <= 32768);

  struct Descriptor {
    uint64_t address = 0;
    uint32_t bytes = 0;
    uint16_t id = 0;
    std::atomic<uint16_t> flags{0};
  };
  struct Own {  // of one side, private to it
    uint64_t sent = 0, taken = 0;
  };

  // Is this index on an odd lap, on which the bits mean the opposite?
  static bool Odd(uint64_t at) { return (at / kRoom) % 2 != 0; }

  alignas(128) std::array<Descriptor, kRoom> ring_{};
  alignas(128) std::array<Message, kRoom> buffers_{};
  alignas(128) Own driver_;
  alignas(128) Own device_;
};

}  // namespace

std::unique_ptr<Contestant> MakeVirtioPacked(const PairPlan& plan) {
  return MakeExchange<VirtioPacked>(plan);
}

}  // namespace vgpu::bench
