// SPDX-License-Identifier: Apache-2.0
// virtio's split layout: a table of descriptors, a ring of those made available, a ring of those used, and an
// index for each ring that says how far it goes. Written from the specification (virtio 1.2, 2.7).
#include <array>
#include <atomic>
#include <cstdint>

#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

template <size_t kRoom>
class VirtioSplit {
 public:
  static constexpr const char* kName = "virtio split";

  size_t SendRequests(const Message* messages, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const auto id = static_cast<uint16_t>((driver_.avail + i) % kRoom);
      buffers_[id] = messages[i];
      table_[id] = {reinterpret_cast<uint64_t>(&buffers_[id]), sizeof(Message), 0, 0};
      avail_.ring[id] = id;
    }
    driver_.avail = static_cast<uint16_t>(driver_.avail + n);
    avail_.idx.store(driver_.avail, std::memory_order_release);
    return n;
  }

  size_t TakeRequests(Message* messages, size_t n) {
    const auto there = static_cast<uint16_t>(avail_.idx.load(std::memory_order_acquire) - device_.avail);
    n = std::min<size_t>(n, there);
    for (size_t i = 0; i < n; ++i) {
      const Descriptor& descriptor = table_[avail_.ring[(device_.avail + i) % kRoom]];
      messages[i] = *reinterpret_cast<const Message*>(descriptor.address);
    }
    device_.avail = static_cast<uint16_t>(device_.avail + n);
    return n;
  }

  size_t SendReplies(const Message* messages, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      const uint16_t id = avail_.ring[(device_.used + i) % kRoom];
      *reinterpret_cast<Message*>(table_[id].address) = messages[i];
      used_.ring[(device_.used + i) % kRoom] = {id, sizeof(Message)};
    }
    device_.used = static_cast<uint16_t>(device_.used + n);
    used_.idx.store(device_.used, std::memory_order_release);
    return n;
  }

  size_t TakeReplies(Message* messages, size_t n) {
    const auto there = static_cast<uint16_t>(used_.idx.load(std::memory_order_acquire) - driver_.used);
    n = std::min<size_t>(n, there);
    for (size_t i = 0; i < n; ++i) messages[i] = buffers_[used_.ring[(driver_.used + i) % kRoom].id];
    driver_.used = static_cast<uint16_t>(driver_.used + n);
    return n;
  }

 private:
  static_assert((kRoom & (kRoom - 1)) == 0 && kRoom <= 32768);

  struct Descriptor {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags, next;
  };
  struct Available {
    uint16_t flags = 0;
    std::atomic<uint16_t> idx{0};
    std::array<uint16_t, kRoom> ring{};
  };
  struct UsedEntry {
    uint32_t id, bytes;
  };
  struct Used {
    uint16_t flags = 0;
    std::atomic<uint16_t> idx{0};
    std::array<UsedEntry, kRoom> ring{};
  };
  struct Own {  // of one side, private to it
    uint16_t avail = 0, used = 0;
  };

  alignas(128) std::array<Descriptor, kRoom> table_{};
  alignas(128) Available avail_;
  alignas(128) Used used_;
  alignas(128) std::array<Message, kRoom> buffers_{};
  alignas(128) Own driver_;
  alignas(128) Own device_;
};

}  // namespace

std::unique_ptr<Contestant> MakeVirtioSplit(const PairPlan& plan) { return MakeExchange<VirtioSplit>(plan); }

}  // namespace vgpu::bench
