// SPDX-License-Identifier: Apache-2.0
// The operator's view as JSON: what `vgpuctl status --json` prints. docs/spec/control.md lists the fields.
#ifndef VGPU_MEDIATOR_STATUS_H_
#define VGPU_MEDIATOR_STATUS_H_

#include <string>

#include "mediator/dispatcher.h"
#include "ring/abi.h"

namespace vgpu::mediator {

std::string StatusJson(const Dispatcher& dispatcher, const vgpu_device_info& device);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_STATUS_H_
