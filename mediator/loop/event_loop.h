// SPDX-License-Identifier: Apache-2.0
// Who waits for which descriptor, and who touches descriptors that guests hold, too. The kernel stands behind
// it (uring_loop.h), or a simulation.
//
// A watch says that a descriptor is ready, and not how often it became so. What a handler leaves unread is
// reported again.
#ifndef VGPU_MEDIATOR_LOOP_EVENT_LOOP_H_
#define VGPU_MEDIATOR_LOOP_EVENT_LOOP_H_

#include <poll.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "base/unique_fd.h"

namespace vgpu::mediator {

// Called on the loop's thread when a watched descriptor is ready (or hung up).
class ReadyHandler {
 public:
  virtual ~ReadyHandler() = default;
  virtual void OnReady() = 0;
};

// Not thread-safe: made and used by one thread.
class EventLoop {
 public:
  static constexpr int64_t kForever = -1;

  EventLoop() = default;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  virtual ~EventLoop() = default;

  // Watches `fd` for `events` (POLLIN, POLLOUT) until Unwatch; `handler` outlives that. Returns the watch's
  // id, or -1 if all watches are taken.
  virtual int Watch(int fd, ReadyHandler* handler, uint32_t events = POLLIN) = 0;
  // After this the handlers are not called any more. The descriptors may be closed. An id of -1 is none.
  virtual void UnwatchAll(std::span<const int> ids) = 0;
  void Unwatch(int id) { UnwatchAll({&id, 1}); }

  // Runs handlers of what is ready: a bounded number, the rest with the next call. Makes no system call where
  // nothing is ready. Returns how many ran.
  virtual int Poll() = 0;
  // Sleeps until something is ready, for `timeout_ns` at most (kForever: no limit), then runs handlers as
  // Poll does. It may wake up earlier, for a signal for instance. Returns how many handlers ran.
  int Sleep(int64_t timeout_ns = kForever) {
    Wait(timeout_ns);
    return RunReady();
  }
  // The same in two parts, for who wants to know how long the handlers take.
  virtual void Wait(int64_t timeout_ns) = 0;
  virtual int RunReady() = 0;

  // An eventfd whose other end its owner holds (eventfd.h): adds one to it; takes its count out. How long
  // that takes is up to the owner, but neither waits for it.
  virtual void SignalOwner(int fd) = 0;
  virtual void DrainKick(int fd) = 0;

  // A descriptor that becomes readable once the time of the last SetTimer has come: a read takes 8 bytes out
  // of it. It never blocks. Invalid: the system refuses it, and errno says why.
  virtual base::UniqueFd MakeTimer() = 0;
  virtual void SetTimer(int fd, int64_t delay_ns) = 0;

  uint64_t sleeps() const { return sleeps_; }

  // `broken` is called once, as soon as the kernel refuses to go on. After that nothing becomes ready any
  // more, and error() says why.
  void OnBroken(std::function<void()> broken) { broken_ = std::move(broken); }
  const std::string& error() const { return error_; }

 protected:
  void CountSleep() { ++sleeps_; }
  // The first reason stays.
  void Break(std::string error) {
    if (!error_.empty()) return;
    error_ = std::move(error);
    if (broken_) broken_();
  }

 private:
  uint64_t sleeps_ = 0;
  std::function<void()> broken_;
  std::string error_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_EVENT_LOOP_H_
