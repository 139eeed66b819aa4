// SPDX-License-Identifier: Apache-2.0
// Seven VMs at once. seven_vms_spread.cc: how evenly the mediator serves VMs of two pools and three classes.
// seven_vms_latency.cc: how long each waits, over the ring and over what it replaces.
#ifndef VGPU_BENCH_FIGURES_SEVEN_VMS_H_
#define VGPU_BENCH_FIGURES_SEVEN_VMS_H_

#include <cstdint>

namespace vgpu::bench {

inline constexpr uint32_t kSevenVms = 7;

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_FIGURES_SEVEN_VMS_H_
