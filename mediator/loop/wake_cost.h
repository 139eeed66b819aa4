// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_MEDIATOR_LOOP_WAKE_COST_H_
#define VGPU_MEDIATOR_LOOP_WAKE_COST_H_

#include <cstdint>

#include "base/result.h"

namespace vgpu::mediator {

// What a sleep and a wake-up cost on this machine, in nanoseconds: the median round trip over two eventfds
// between the calling thread and one on another processor (guests run on others), if there is one. Takes
// about 2 ms.
base::Result<int64_t> MeasureWakeCostNs();

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_WAKE_COST_H_
