// SPDX-License-Identifier: Apache-2.0
// DPDK's ring of elements of 64 bytes, one producer and one consumer, a burst at a time. It is told its
// memory (rte_ring_init), so it needs none of DPDK's environment (EAL).
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <stdexcept>

#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

template <size_t kRoom>
class DpdkRing {
 public:
  static constexpr const char* kName = "DPDK rte_ring";

  DpdkRing() {
    const bool fits =
        rte_ring_get_memsize_elem(sizeof(Message), kRoom) <= static_cast<ssize_t>(sizeof(*this));
    if (!fits || rte_ring_init(&ring_, "bench", kRoom, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
      throw std::runtime_error("rte_ring_init failed");
    }
  }

  size_t Push(const Message* messages, size_t n) {
    return rte_ring_sp_enqueue_burst_elem(&ring_, messages, sizeof(Message), static_cast<unsigned>(n),
                                          nullptr);
  }
  size_t Pop(Message* messages, size_t n) {
    return rte_ring_sc_dequeue_burst_elem(&ring_, messages, sizeof(Message), static_cast<unsigned>(n),
                                          nullptr);
  }

 private:
  rte_ring ring_;
  Message elements_[kRoom];  // where the ring puts them: right behind itself
};

template <size_t kRoom>
using DpdkRings = TwoQueues<DpdkRing<kRoom>>;

}  // namespace

Absence DpdkAbsent(const PairPlan&) { return {}; }

std::unique_ptr<Contestant> MakeDpdkPair(const PairPlan& plan) { return MakeExchange<DpdkRings>(plan); }

}  // namespace vgpu::bench
