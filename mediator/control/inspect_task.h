// SPDX-License-Identifier: Apache-2.0
// Which VM held up a lane? Whoever touches memory that is being punched waits until the whole punch is over.
// Nothing tells whose memory it was, except that its pages are no longer mapped in this process.
#ifndef VGPU_MEDIATOR_CONTROL_INSPECT_TASK_H_
#define VGPU_MEDIATOR_CONTROL_INSPECT_TASK_H_

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "mediator/control/memory_thread.h"
#include "mediator/lane/session.h"

namespace vgpu::mediator {

enum class Finding : uint8_t {
  kWhole,     // all of its memory is mapped
  kReplaced,  // pages were taken away, and others have come instead: they are mapped now
  kLost,      // pages are missing
};

class InspectTask final : public MemoryTask {
 public:
  struct Subject {
    uint64_t serial;                            // of its session, which may end meanwhile
    std::shared_ptr<std::atomic<bool>> mapped;  // false once this thread has begun to unmap its memory
    char* region;
    size_t bytes;
    Finding finding = Finding::kWhole;
  };

  // `done` is called on control's thread.
  InspectTask(std::vector<Subject> subjects, std::function<void(const std::vector<Subject>&)> done);

  bool Step() override;
  void Done() override { done_(subjects_); }

 private:
  bool InspectSome(Subject* subject);

  std::vector<Subject> subjects_;
  const std::function<void(const std::vector<Subject>&)> done_;
  size_t next_ = 0;
  size_t at_ = 0;  // bytes of the next one that have been checked
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_INSPECT_TASK_H_
