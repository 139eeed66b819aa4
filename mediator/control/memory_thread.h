// SPDX-License-Identifier: Apache-2.0
// The tasks of the memory thread: mapping, inspecting and unmapping regions of gigabytes. Each runs one step
// at a time, and tasks take turns, so that a small one never waits for a big one.
#ifndef VGPU_MEDIATOR_CONTROL_MEMORY_THREAD_H_
#define VGPU_MEDIATOR_CONTROL_MEMORY_THREAD_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/loop/event_loop.h"

namespace vgpu::mediator {

class MemoryTask {
 public:
  virtual ~MemoryTask() = default;
  // On the memory thread: a few milliseconds of work. True: that was all.
  virtual bool Step() = 0;
  // On control's thread, after the last step. The task is destroyed afterwards, on the same thread.
  virtual void Done() = 0;
};

// The memory thread and its queue. Control makes it, and calls Submit.
class MemoryThread final : private ReadyHandler {
 public:
  static base::Result<std::unique_ptr<MemoryThread>> Create(EventLoop* loop);
  // Runs the step under way to its end. Tasks that are not done are destroyed here.
  ~MemoryThread() override;

  void Submit(std::unique_ptr<MemoryTask> task);
  // It runs before all that wait, until it is done.
  void SubmitUrgent(std::unique_ptr<MemoryTask> task);

 private:
  MemoryThread(EventLoop* loop, base::UniqueFd done_fd);
  void Work();
  void OnReady() override;

  EventLoop* const loop_;
  const base::UniqueFd done_fd_;
  int watch_ = -1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<MemoryTask>> waiting_;  // the first one has the next turn
  std::deque<std::unique_ptr<MemoryTask>> urgent_;   // these run before all of them
  std::deque<std::unique_ptr<MemoryTask>> done_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_MEMORY_THREAD_H_
