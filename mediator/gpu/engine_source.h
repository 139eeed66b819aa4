// SPDX-License-Identifier: Apache-2.0
// Where engines come from, and where they are taken back: a thread that starts processes (engine_starter.h),
// or a simulation. An engine is ordered, and found ready-made, or why not, in a later turn.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_SOURCE_H_
#define VGPU_MEDIATOR_GPU_ENGINE_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/options.h"
#include "mediator/gpu/engine_handle.h"

namespace vgpu::mediator {

// Goes to the source and comes back with its answer.
struct EngineOrder {
  uint32_t gpu = 0;     // the asker's
  uint32_t engine = 0;  // likewise
  bool spare = false;
  bool unseen = false;  // it is not known whether there is a GPU at all: no driver, no engine
  engine::EngineOptions options{};

  std::unique_ptr<EngineHandle> process;  // null: refused
  std::string error;                      // then; "" if there is no driver
};

// One thread's. Nothing here waits, but the destructor: it takes back what was ordered and not taken.
class EngineSource {
 public:
  // Of all that run, or are not reaped, at most. An engine that does not end takes a place.
  static constexpr uint32_t kEnginesMax = 256;

  virtual ~EngineSource() = default;
  virtual void Order(std::unique_ptr<EngineOrder> order) = 0;
  // The oldest answer; null if there is none.
  virtual std::unique_ptr<EngineOrder> Take() = 0;
  // An eventfd, readable when there may be answers: drain it, then take them all.
  virtual int fd() const = 0;
  // An engine of this source has ended, or was killed, and nobody watches it.
  virtual void Reap(std::unique_ptr<EngineHandle> engine) = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_SOURCE_H_
