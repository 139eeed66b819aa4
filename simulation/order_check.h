// SPDX-License-Identifier: Apache-2.0
// Watches the daemon's trace: a ring's requests start in order, and each is answered once,
// whoever dies in between.
#ifndef VGPU_SIMULATION_ORDER_CHECK_H_
#define VGPU_SIMULATION_ORDER_CHECK_H_

#include <array>
#include <cstdint>
#include <set>
#include <string>

#include "ring/abi.h"
#include "serve/iteration.h"
#include "simulation/allocations.h"
#include "simulation/surroundings.h"

namespace vgpu::simulation {

class OrderCheck final : public serve::TraceSink {
 public:
  static constexpr uint32_t kVmsMax = 16;

  // A ring of this VM is not looked at: its guest lies.
  void Ignore(uint32_t vm_id) { ignored_[vm_id] = true; }
  // The ring has a new epoch: indices begin again.
  void Opened(uint32_t vm_id, uint32_t ring) { rings_[vm_id][ring] = {}; }
  // The VM has attached again: what was not answered may start again.
  void Attached(uint32_t vm_id) {
    for (Ring& ring : rings_[vm_id]) ring.next = 0;
  }

  void Add(const serve::RingName& name, serve::TraceEvent event, uint32_t idx, uint8_t, int64_t) override {
    const Outside outside;
    if (ignored_[name.vm_id]) return;
    Ring& ring = rings_[name.vm_id][name.ring];
    if (event == serve::TraceEvent::kStarted) {
      if (idx < ring.next) Fail("started out of order", name, idx);
      ring.next = idx + 1;
    } else if (event == serve::TraceEvent::kAnswered) {
      if (!ring.answered.insert(idx).second) Fail("answered twice", name, idx);
      if (ring.answered.size() > kRemembered) ring.answered.erase(ring.answered.begin());
    }
  }

 private:
  static constexpr size_t kRemembered = 1024;

  struct Ring {
    uint32_t next = 0;  // no older one may start
    std::set<uint32_t> answered;
  };

  [[noreturn]] static void Fail(const char* what, const serve::RingName& name, uint32_t idx) {
    throw Violation{"VM " + std::to_string(name.vm_id) + ", ring " + std::to_string(name.ring) +
                    ": request " + std::to_string(idx) + " was " + what};
  }

  std::array<bool, kVmsMax> ignored_{};
  std::array<std::array<Ring, VGPU_RINGS_MAX + 1>, kVmsMax> rings_;
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_ORDER_CHECK_H_
