// SPDX-License-Identifier: Apache-2.0
// Signals belong to the control thread. Threads that are started while this lives get none but the
// synchronous ones.
#ifndef VGPU_MEDIATOR_LOOP_THREAD_SIGNALS_H_
#define VGPU_MEDIATOR_LOOP_THREAD_SIGNALS_H_

#include <pthread.h>
#include <signal.h>

namespace vgpu::mediator {

class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    for (const int synchronous : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) sigdelset(&all, synchronous);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_THREAD_SIGNALS_H_
