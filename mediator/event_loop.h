// SPDX-License-Identifier: Apache-2.0
// The one io_uring of the daemon: who waits for which descriptor. The only file that knows liburing.
//
// Every watch is a one-shot poll that is armed again after its handler ran. So one descriptor has at most one
// completion outstanding: whoever floods an eventfd with kicks can neither overflow the completion queue nor disarm
// a watch (as a multishot poll would be). Descriptors are counters, not queues: handlers drain, then look.
#ifndef VGPU_MEDIATOR_EVENT_LOOP_H_
#define VGPU_MEDIATOR_EVENT_LOOP_H_

#include <liburing.h>
#include <poll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"


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

  // `watches_max` bounds how many descriptors can be watched at a time. The error names the cause, for instance
  // that io_uring is disabled on this machine.
  static base::Result<std::unique_ptr<EventLoop>> Create(uint32_t watches_max);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Watches `fd` for `events` (POLLIN, POLLOUT) until Unwatch; `handler` outlives that. Returns the watch's id, or -1 if
  // all watches are taken.
  int Watch(int fd, ReadyHandler* handler, uint32_t events = POLLIN);
  // After this the handler is not called any more. The descriptor may be closed.
  void Unwatch(int id);
  // The same for many, with one system call.
  void UnwatchAll(std::span<const int> ids);

  // Runs the handlers of everything that is ready, without a system call where nothing is.
  // Returns how many ran.
  int Poll();
  // Sleeps until something is ready, or for `timeout_ns` (kForever: no limit), then runs the handlers of what is ready.
  // Returns how many ran.
  int Sleep(int64_t timeout_ns = kForever);
  // The same in two parts, for who wants to know how long the handlers take.
  void Wait(int64_t timeout_ns);
  int RunReady();

  uint64_t sleeps() const { return sleeps_; }

  // When the kernel refuses io_uring_enter from now on, nothing becomes ready any more: `broken` is called once, and error()
  // says why.
  void OnBroken(std::function<void()> broken) { broken_ = std::move(broken); }
  const std::string& error() const { return error_; }

 private:
  struct WatchSlot {
    ReadyHandler* handler = nullptr;
    int fd = -1;
    uint32_t events = 0;
    uint32_t generation = 0;  // tells a late completion of an earlier watch apart
  };

  explicit EventLoop(uint32_t watches_max);
  void Arm(uint32_t id);
  void Disarm(int id);
  io_uring_sqe* NextSqe();  // null: the loop is broken
  void LookAt(int entered);
  base::Result<void> Try();

  io_uring ring_{};
  std::vector<WatchSlot> watches_;
  std::vector<uint32_t> free_;
  uint64_t sleeps_ = 0;
  std::function<void()> broken_;
  std::string error_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_EVENT_LOOP_H_
