// SPDX-License-Identifier: Apache-2.0
// What the server of a ring needs from the owner of the VM's session.
// Called by the thread that serves the ring.
#ifndef VGPU_SERVE_RING_HOST_H_
#define VGPU_SERVE_RING_HOST_H_

namespace vgpu::serve {

class RingHost {
 public:
  virtual ~RingHost() = default;
  // Are pages of the VM's memory gone? Then what was computed from it must not be answered as a result.
  virtual bool MemoryLost() const = 0;
  // Wakes the guest. False: not now; the thread that serves the ring next does it.
  virtual bool CallGuest() = 0;
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_RING_HOST_H_
