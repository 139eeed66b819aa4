// SPDX-License-Identifier: Apache-2.0
#include "guest/interrupt.h"

namespace vgpu::guest {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void Raise(int) { interrupted.store(true); }

// If this program was started with the signal ignored (nohup, a shell's background), it stays ignored.
void Take(int signal_number, struct sigaction* old) {
  struct sigaction action = {};
  action.sa_handler = Raise;
  action.sa_flags = SA_RESETHAND;  // and no SA_RESTART: naps end
  sigaction(signal_number, nullptr, old);
  if (old->sa_handler != SIG_IGN) sigaction(signal_number, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  interrupted.store(false);
  Take(SIGINT, &old_int_);
  Take(SIGTERM, &old_term_);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

const std::atomic<bool>* Interrupt::flag() const { return &interrupted; }

}  // namespace vgpu::guest
