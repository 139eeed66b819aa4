// SPDX-License-Identifier: Apache-2.0
// The operator's view as JSON: what `vgpuctl status --json` prints. docs/spec/control.md lists the fields.
#ifndef VGPU_MEDIATOR_CONTROL_STATUS_H_
#define VGPU_MEDIATOR_CONTROL_STATUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "api/device_info.h"
#include "mediator/control/admission.h"
#include "mediator/lane/dispatcher.h"

namespace vgpu::mediator {

// An attached VM: what control knows of it. The rest is in its session, which publishes it.
struct VmView {
  const Session* session;
  PeerId owner;
  bool quarantined;
  bool isolated;             // isolated: served by the second lane
  std::string why_isolated;  // "" if it is not
  uint32_t stalls;           // how often it has held up its lane, since the mediator's start or its release
};

struct StatusView {
  const vgpu_device_info& device;  // of the backend: only its name, driver and kind are shown
  int64_t uptime_ns;
  const LaneCounters& lane;  // of the common lane
  std::vector<VmView> vms;
};

// UTF-8. Control's thread: it reads what lanes publish, and lanes do nothing for it.
std::string StatusJson(const StatusView& view);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_STATUS_H_
