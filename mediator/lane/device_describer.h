// SPDX-License-Identifier: Apache-2.0
// What any thread may ask of that which computes.
#ifndef VGPU_MEDIATOR_LANE_DEVICE_DESCRIBER_H_
#define VGPU_MEDIATOR_LANE_DEVICE_DESCRIBER_H_

#include <cstdint>

#include "api/device_info.h"

namespace vgpu::mediator {

class DeviceDescriber {
 public:
  virtual ~DeviceDescriber() = default;
  // Fills backend, memory_bytes, name and driver of *info, for a VM of this pool (ASCII). Any thread.
  virtual void Describe(uint32_t pool, vgpu_device_info* info) const = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_DEVICE_DESCRIBER_H_
