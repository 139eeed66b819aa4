// SPDX-License-Identifier: Apache-2.0
// Threads that close peers' descriptors, so that no peer's close is waited for (peer_fd.h).
#ifndef VGPU_MEDIATOR_LOOP_CLOSER_H_
#define VGPU_MEDIATOR_LOOP_CLOSER_H_

#include <array>
#include <memory>

#include "mediator/loop/peer_fd.h"

namespace vgpu::mediator {

// While one lives, CloseElsewhere gives it the descriptors: those whose close ends by itself to some threads,
// all others to others, so that those that hang hold up only their like. One thread of each as a rule; while
// a close hangs, more are started, up to kThreadsMax. A close that never ends keeps
// its thread and its descriptor.
class Closer {
 public:
  static constexpr int kThreadsMax = 32;

  // At most one at a time.
  Closer();
  // Waits a moment for what is being closed. Threads that hang in a close are left behind.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // By the closer that lives; by this thread, if none does.
  static void Close(int fd, PeerFdKind kind);
  // Is a thread left in a close after so long? Then the process must end without waiting for its threads.
  bool Drain();

 private:
  struct State;
  // By kind. The threads hold them too: one that hangs may outlive the closer.
  const std::array<std::shared_ptr<State>, 2> states_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_CLOSER_H_
