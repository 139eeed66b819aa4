// SPDX-License-Identifier: Apache-2.0
// Which transport: the device of this VM, or the mediator's socket on the host.
#ifndef VGPU_GUEST_OPEN_H_
#define VGPU_GUEST_OPEN_H_

#include <memory>

#include "guest/host_transport.h"
#include "guest/pci_transport.h"
#include "guest/transport.h"

namespace vgpu::guest {

// The socket if one is named, else the device.
inline Result<std::shared_ptr<Transport>> OpenTransport(const PciOptions& pci, const HostOptions& host,
                                                        TimePoint deadline) {
  const auto share = [](auto transport) { return std::shared_ptr<Transport>(std::move(transport)); };
  if (!host.socket.empty()) return HostTransport::Open(host, deadline).map(share);
  return PciTransport::Open(pci).map(share);
}

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_OPEN_H_
