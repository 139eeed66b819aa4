// SPDX-License-Identifier: Apache-2.0
// Ctrl-C while something is measured: what was measured is not lost.
#ifndef VGPU_GUEST_INTERRUPT_H_
#define VGPU_GUEST_INTERRUPT_H_

#include <signal.h>

#include <atomic>

namespace vgpu::guest {

// For the time of its life SIGINT and SIGTERM only raise a flag, once: the second one ends the process as
// ever. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>* flag() const;
  bool raised() const { return flag()->load(); }

 private:
  struct sigaction old_int_;
  struct sigaction old_term_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_INTERRUPT_H_
