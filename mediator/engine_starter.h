// SPDX-License-Identifier: Apache-2.0
// The thread that starts engine processes, writes down which there are, and buries them. All of that waits for others: memory
// for the area, the program's exec, the record's file system, limits on tasks, the process table. A lane orders an engine,
// and finds it ready-made, or why not, in a later turn.
#ifndef VGPU_MEDIATOR_ENGINE_STARTER_H_
#define VGPU_MEDIATOR_ENGINE_STARTER_H_

#include <sched.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/options.h"
#include "mediator/engine_process.h"
#include "mediator/engine_record.h"

namespace vgpu::mediator {

// Goes to the starter and comes back with its answer.
struct EngineOrder {
  uint32_t gpu = 0;     // the asker's
  uint32_t engine = 0;  // likewise
  bool spare = false;
  bool unseen = false;  // it is not known whether there is a GPU at all: no driver, no engine
  engine::EngineOptions options{};

  std::unique_ptr<EngineProcess> process;  // null: refused
  std::string error;                       // then; "" if there is no driver
};

// A lane's. Engines end with the thread that started them (PR_SET_PDEATHSIG): that one lives as long as this.
class EngineStarter {
 public:
  // Of all that run, or are not buried. An engine that does not end takes a place.
  static constexpr uint32_t kEnginesMax = 256;

  // Engines may run on `cpus`.
  static base::Result<std::unique_ptr<EngineStarter>> Create(EngineRecord record, const cpu_set_t& cpus);
  // Ends what was ordered and not taken, and waits until all is buried; but not for ever: whoever hangs is left to the next
  // mediator, which finds it in the record.
  ~EngineStarter();
  EngineStarter(const EngineStarter&) = delete;
  EngineStarter& operator=(const EngineStarter&) = delete;

  // ---- the lane's thread; nothing here waits ----

  void Order(std::unique_ptr<EngineOrder> order);
  // The oldest answer; null if there is none. An engine that it brings is in the record.
  std::unique_ptr<EngineOrder> Take();
  // Readable when there may be answers: drain it, then take them all.
  int fd() const;
  // It has ended, or was killed, and nobody watches it.
  void Bury(std::unique_ptr<EngineProcess> process);

 private:
  struct Thread;
  explicit EngineStarter(std::shared_ptr<Thread> thread) : thread_(std::move(thread)) {}

  const std::shared_ptr<Thread> thread_;  // the thread has it, too: one that hangs is left behind
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_ENGINE_STARTER_H_
