// SPDX-License-Identifier: Apache-2.0
// Threads that close peers' descriptors, so that no peer's close is waited for (peer_fd.h).
#ifndef VGPU_MEDIATOR_CLOSER_H_
#define VGPU_MEDIATOR_CLOSER_H_

#include <memory>

namespace vgpu::mediator {

// While one lives, CloseElsewhere gives it the descriptors. One thread as a rule; while a close hangs, more are started, up
// to kThreadsMax. A close that never ends keeps its thread and its descriptor.
class Closer {
 public:
  static constexpr int kThreadsMax = 16;

  // At most one at a time.
  Closer();
  // Waits a moment for what is being closed. Threads that hang in a close are left behind.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // Is a thread left in a close after so long? Then the process must end without waiting for its threads.
  bool Drain();

 private:
  friend void CloseElsewhere(int fd);
  struct State;
  // The threads hold it too: one that hangs may outlive the closer.
  const std::shared_ptr<State> state_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CLOSER_H_
