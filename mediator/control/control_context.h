// SPDX-License-Identifier: Apache-2.0
// What the connections of the control socket work with.
#ifndef VGPU_MEDIATOR_CONTROL_CONTROL_CONTEXT_H_
#define VGPU_MEDIATOR_CONTROL_CONTROL_CONTEXT_H_

#include <cstddef>
#include <cstdint>

#include "api/device_info.h"
#include "mediator/control/admission.h"
#include "mediator/control/attach.h"
#include "mediator/control/memory_thread.h"
#include "mediator/control/offenders.h"
#include "mediator/control/peer_log.h"
#include "mediator/lane/lane.h"
#include "mediator/loop/clock.h"
#include "mediator/loop/event_loop.h"
#include "mediator/process/config.h"

namespace vgpu::mediator {

class Connection;

// The daemon's parts. All outlive the control server.
struct ControlContext {
  const Config* config;
  EventLoop* loop;
  MemoryThread* memory_thread;
  Lane* lane;           // for everybody
  Lane* isolated_lane;  // for those who were slow once
  const Clock* clock;
  vgpu_device_info device;  // of the backend
};

// What a connection needs from the server that has accepted it.
class ConnectionHost {
 public:
  // Who holds this VM's id, or one of these memories: attached, on its way there, or not quite gone. Null:
  // nobody else.
  virtual Connection* OtherOwner(uint32_t vm_id, const MemoryIds& memory, const Connection* except) = 0;
  // How many VMs have a place: attached, on their way there, or not quite gone.
  virtual size_t attached() const = 0;
  // A connection has nothing left. It is destroyed when no function of its own is on the stack any more.
  virtual void Forget() = 0;
  // A status was asked for. It is answered soon: one look at all counters serves all who ask meanwhile.
  virtual void WantStatus() = 0;
  // False: as many VMs are quarantined as may be.
  virtual bool Quarantine(uint32_t vm_id) = 0;
  virtual void Release(uint32_t vm_id) = 0;

 protected:
  ~ConnectionHost() = default;
};

// Control thread only. All outlive the connections.
struct ConnectionShared {
  const ControlContext& context;
  ConnectionHost& host;
  Admission& admission;
  Offenders& offenders;
  PeerLog& log;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_CONTROL_CONTEXT_H_
