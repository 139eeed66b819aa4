// SPDX-License-Identifier: Apache-2.0
// What takes long (mapping, populating and unmapping regions of gigabytes) runs here, a step at a time and in turns, so that
// a small errand never waits for a big one.
#ifndef VGPU_MEDIATOR_ERRANDS_H_
#define VGPU_MEDIATOR_ERRANDS_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/event_loop.h"

namespace vgpu::mediator {

class Errand {
 public:
  virtual ~Errand() = default;
  // On the errands' thread: a few milliseconds of work. True: that was all.
  virtual bool Step() = 0;
  // On the loop's thread, after the last step; the errand is destroyed afterwards, there.
  virtual void Done() = 0;
};

// One thread. Submit and Done belong to the loop's.
class Errands final : private ReadyHandler {
 public:
  static base::Result<std::unique_ptr<Errands>> Create(EventLoop* loop);
  // Runs the step under way to its end; errands that are not done are destroyed here.
  ~Errands() override;

  void Submit(std::unique_ptr<Errand> errand);
  // It has the next turn, and the ones after that.
  void SubmitUrgent(std::unique_ptr<Errand> errand);

 private:
  Errands(EventLoop* loop, base::UniqueFd done_fd);
  void Work();
  void OnReady() override;

  EventLoop* const loop_;
  const base::UniqueFd done_fd_;
  int watch_ = -1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Errand>> waiting_;  // the first one has the next turn
  std::deque<std::unique_ptr<Errand>> urgent_;   // before all of them
  std::deque<std::unique_ptr<Errand>> done_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_ERRANDS_H_
