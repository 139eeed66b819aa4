// SPDX-License-Identifier: Apache-2.0
// Which VMs have disturbed others, and which of them an operator has quarantined.
// It outlives their connections.
#ifndef VGPU_MEDIATOR_CONTROL_OFFENDERS_H_
#define VGPU_MEDIATOR_CONTROL_OFFENDERS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

namespace vgpu::mediator {

// Not thread-safe. Bounded: of stalls, those of the lowest ids are forgotten first.
class Offenders {
 public:
  static constexpr size_t kStallsMax = 4096;       // VMs
  static constexpr size_t kQuarantinedMax = 4096;  // VMs

  enum class Added : uint8_t { kNew, kAlready, kFull };
  Added Quarantine(uint32_t vm_id) {
    if (Quarantined(vm_id)) return Added::kAlready;
    if (quarantined_.size() >= kQuarantinedMax) return Added::kFull;
    quarantined_.insert(vm_id);
    return Added::kNew;
  }
  bool Quarantined(uint32_t vm_id) const { return quarantined_.contains(vm_id); }

  // The VM has held up the thread that serves it. Returns how often it has done so.
  uint32_t CountStall(uint32_t vm_id) {
    if (stalls_.size() >= kStallsMax && !stalls_.contains(vm_id)) stalls_.erase(stalls_.begin());
    return ++stalls_[vm_id];
  }
  uint32_t stalls(uint32_t vm_id) const {
    const auto found = stalls_.find(vm_id);
    return found == stalls_.end() ? 0 : found->second;
  }

  // Forgets both.
  void Release(uint32_t vm_id) {
    quarantined_.erase(vm_id);
    stalls_.erase(vm_id);
  }

 private:
  std::set<uint32_t> quarantined_;
  std::map<uint32_t, uint32_t> stalls_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_OFFENDERS_H_
