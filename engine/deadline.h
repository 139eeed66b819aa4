// SPDX-License-Identifier: Apache-2.0
// A driver that does not return cannot be interrupted: only the end of the process ends it. If a Deadline
// still lives when its time is over, the process ends and tells the mediator why. Time during which the
// process stands still (frozen, suspended) counts little.
#ifndef VGPU_ENGINE_DEADLINE_H_
#define VGPU_ENGINE_DEADLINE_H_

#include <chrono>

namespace vgpu::engine {

// One at a time in a process: it is the kernel's interval timer. Uses SIGALRM.
class Deadline {
 public:
  // `what` the driver was asked for, a literal.
  Deadline(std::chrono::milliseconds time, const char* what);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
};

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_DEADLINE_H_
