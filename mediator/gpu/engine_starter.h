// SPDX-License-Identifier: Apache-2.0
// The thread that starts engine processes, writes down which there are, and reaps them. All of that waits
// for others: memory for the area, the program's exec, the record's file system, limits on tasks, the process
// table. A lane orders an engine, and finds it ready-made, or why not, in a later iteration.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_STARTER_H_
#define VGPU_MEDIATOR_GPU_ENGINE_STARTER_H_

#include <memory>

#include "base/result.h"
#include "mediator/gpu/engine_record.h"
#include "mediator/gpu/engine_source.h"

namespace vgpu::mediator {

// A lane's. Engines end with the thread that started them (PR_SET_PDEATHSIG): that one lives as long as this.
class EngineStarter final : public EngineSource {
 public:
  // Engines may run where the calling thread may at this moment: whoever pins it later does not mean them.
  static base::Result<std::unique_ptr<EngineStarter>> Create(EngineRecord record);
  // Ends what was ordered and not taken, and waits until all is reaped; but not for ever: whoever hangs is
  // left to the next mediator, which finds it in the record.
  ~EngineStarter() override;
  EngineStarter(const EngineStarter&) = delete;
  EngineStarter& operator=(const EngineStarter&) = delete;

  // An engine that Take brings is in the record.
  void Order(std::unique_ptr<EngineOrder> order) override;
  std::unique_ptr<EngineOrder> Take() override;
  int fd() const override;
  void Reap(std::unique_ptr<EngineHandle> engine) override;

 private:
  struct Thread;
  explicit EngineStarter(std::shared_ptr<Thread> thread) : thread_(std::move(thread)) {}

  const std::shared_ptr<Thread> thread_;  // the thread has it, too: one that hangs is left behind
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_STARTER_H_
