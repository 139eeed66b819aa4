// SPDX-License-Identifier: Apache-2.0
// What takes long (mapping, populating and unmapping regions of gigabytes) runs here, so that the loop never waits.
#ifndef VGPU_MEDIATOR_BACKGROUND_H_
#define VGPU_MEDIATOR_BACKGROUND_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "mediator/event_loop.h"
#include "ring/region.h"

namespace vgpu::mediator {

// One thread; jobs run in order. Submit and the completions belong to the loop's thread.
class Background final : private ReadyHandler {
 public:
  using Completion = std::function<void()>;
  using Job = std::function<Completion()>;

  static ring::Result<std::unique_ptr<Background>> Create(EventLoop* loop);
  // Runs what was submitted to its end; completions that have not run are dropped.
  ~Background() override;

  // Runs `job` on the thread, then what it returned (may be empty) on the loop's thread.
  void Submit(Job job);

 private:
  explicit Background(ring::UniqueFd done_fd);
  void Work();
  void OnReady() override;

  const ring::UniqueFd done_fd_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::deque<Completion> done_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_BACKGROUND_H_
