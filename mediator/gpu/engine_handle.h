// SPDX-License-Identifier: Apache-2.0
// The seam between what decides about engines and the engines themselves: processes (engine_process.h), or
// simulated ones.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_HANDLE_H_
#define VGPU_MEDIATOR_GPU_ENGINE_HANDLE_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/engine_abi.h"
#include "engine/messages.h"
#include "mediator/loop/event_loop.h"
#include "ring/abi.h"

namespace vgpu::mediator {

class EngineHandle;

// Called on the loop's thread. Within OnEngineGone the engine may be destroyed, also by another thread.
class EngineOwner {
 public:
  virtual ~EngineOwner() = default;
  virtual void OnEngineReady(EngineHandle* engine) = 0;
  // `error` is empty if the region can be used.
  virtual void OnRegistered(EngineHandle* engine, uint32_t region, const std::string& error) = 0;
  virtual void OnUnregistered(EngineHandle* engine, uint32_t region) = 0;
  // It had nothing to do for a while. It may have been given something since.
  virtual void OnEngineIdle(EngineHandle* engine) = 0;
  // It will not answer any more: it says that its GPU is broken, or its socket closed. It may still write.
  virtual void OnEngineFailed(EngineHandle* engine, const std::string& reason) = 0;
  // It has ended, and its memory is gone with it: nothing of it writes any more.
  virtual void OnEngineGone(EngineHandle* engine) = 0;
};

// One engine: told of regions, killed, and known to be gone only when it is. Its source (engine_source.h)
// makes it and takes it back. In between one thread has it, and nothing here waits but AwaitReady.
class EngineHandle {
 public:
  virtual ~EngineHandle() = default;

  // From now on `owner` hears of it, on the loop's thread. Both outlive this, or Unwatch. False: the loop has
  // no room.
  virtual bool Watch(EventLoop* loop, EngineOwner* owner) = 0;
  virtual void Unwatch() = 0;
  // Waits until it is ready; the owner is not called. An error is the engine's own sentence, or that it died
  // or took too long.
  virtual base::Result<void> AwaitReady(std::chrono::milliseconds patience) = 0;

  // What it said when it became ready.
  virtual const engine::ReadyMessage& hello() const = 0;
  // Stays until the engine is destroyed.
  virtual engine::Area* area() const = 0;
  // An eventfd: signalled, it wakes the engine for its jobs.
  virtual int kick_fd() const = 0;

  // Answers come to the owner, in order. They need an engine that is ready.
  // `fds` stay open until OnRegistered.
  virtual void Register(uint32_t region, const vgpu_layout& layout, const engine::MessageFds& fds) = 0;
  virtual void Unregister(uint32_t region) = 0;
  // May it have this region mapped?
  virtual bool Holds(uint32_t region) const = 0;
  // Has it answered that the GPU can use it?
  virtual bool Uses(uint32_t region) const = 0;
  // Has it been asked for anything that it has not answered?
  virtual bool busy() const = 0;
  // Once it is gone: the region at whose registration it hung, or crashed; -1: none. That somebody killed it
  // then is no region's fault.
  virtual int blamed_region() const = 0;

  // Its end is heard of in OnEngineGone.
  virtual void Kill() = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_HANDLE_H_
