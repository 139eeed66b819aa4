// SPDX-License-Identifier: Apache-2.0
// The seam between the dispatcher and whoever holds the memory of sessions beside this process: engines,
// which have a session's region registered while its requests run on their GPU.
#ifndef VGPU_MEDIATOR_LANE_MEMORY_HOLDER_H_
#define VGPU_MEDIATOR_LANE_MEMORY_HOLDER_H_

namespace vgpu::mediator {

class Session;

// What the holder tells the dispatcher. Called on the lane's thread, within EventLoop::Poll or RunReady,
// Gpus::Poll, or a call of the holder.
class PlacementListener {
 public:
  // From now on the session's requests run on its GPU, or on the CPU. Its placement says so already.
  virtual void OnPlacement(Session* session, bool on_device) = 0;
  // Release() of this session may say something else now.
  virtual void OnMemoryFree(Session* session) = 0;

 protected:
  ~PlacementListener() = default;
};

// Called by the lane's thread only. Nothing here blocks it.
class MemoryHolder {
 public:
  virtual ~MemoryHolder() = default;

  // Before anything else. The listener outlives all that follows.
  virtual void SetListener(PlacementListener* listener) = 0;
  // The session begins: it may get a GPU. Its memory stays until Release has said true.
  virtual void Attach(Session* session) = 0;
  // The session ends here; nothing of it is in flight. False: its memory is still in use, and OnMemoryFree
  // tells when to ask again. Once it was true, it is not called again.
  virtual bool Release(Session* session) = 0;
  // A session whose placement is parked has had a request for a GPU.
  virtual void Wake(Session* session) = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LANE_MEMORY_HOLDER_H_
