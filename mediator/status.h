// SPDX-License-Identifier: Apache-2.0
// The operator's view as JSON: what `vgpuctl status --json` prints. docs/spec/control.md lists the fields.
#ifndef VGPU_MEDIATOR_STATUS_H_
#define VGPU_MEDIATOR_STATUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "mediator/dispatcher.h"
#include "mediator/door.h"

namespace vgpu::mediator {

// A VM that is served: what control knows of it. The rest is in its session, which publishes it.
struct VmView {
  const Session* session;
  PeerId owner;
  bool quarantined;
  bool apart;        // served by the thread for suspects
  std::string why_apart;
  uint32_t strikes;  // how often it has held up the thread that served it
};

struct StatusView {
  const vgpu_device_info& device;
  int64_t uptime_ns;
  const LoopCounters& loop;
  std::vector<VmView> vms;
};

// Control thread. It reads what lanes publish, and lanes do nothing for it.
std::string StatusJson(const StatusView& view);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_STATUS_H_
