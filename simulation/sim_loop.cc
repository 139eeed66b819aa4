// SPDX-License-Identifier: Apache-2.0
#include "simulation/sim_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>

#include "mediator/loop/eventfd.h"
#include "simulation/allocations.h"

namespace vgpu::simulation {

int SimLoop::Watch(int fd, mediator::ReadyHandler* handler, uint32_t events) {
  assert(fd >= 0 && handler != nullptr);
  for (size_t id = 0; id < watches_.size(); ++id) {
    if (watches_[id].handler != nullptr) continue;
    watches_[id] = {handler, false};
    polls_[id] = {fd, static_cast<short>(events), 0};
    return static_cast<int>(id);
  }
  return -1;
}

void SimLoop::UnwatchAll(std::span<const int> ids) {
  for (const int id : ids) {
    if (id < 0) continue;
    const auto at = static_cast<size_t>(id);
    assert(watches_[at].handler != nullptr);
    watches_[at] = {};
    polls_[at] = {-1, 0, 0};
  }
}

// What is ready now. True: there is some.
bool SimLoop::FindReady() {
  FireTimers();
  bool any = false;
  poll(polls_.data(), polls_.size(), 0);
  for (size_t id = 0; id < watches_.size(); ++id) {
    if (watches_[id].handler == nullptr) continue;
    if (polls_[id].revents != 0) watches_[id].ready = true;
    any |= watches_[id].ready;
  }
  return any;
}

// The kernel tells when it likes: not always at the first look.
int SimLoop::Poll() {
  {
    const Outside outside;
    others_->GoOn();
    if (!around_->random.OneIn(4)) FindReady();
  }
  return RunReady();
}

int SimLoop::RunReady() {
  int ran = 0;
  const size_t count = watches_.size();
  const size_t first = around_->random.Below(static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    Watched& watch = watches_[(first + i) % count];
    if (!watch.ready) continue;
    watch.ready = false;
    watch.handler->OnReady();
    ++ran;
  }
  return ran;
}

void SimLoop::Wait(int64_t timeout_ns) {
  const Outside outside;
  CountSleep();
  const bool for_ever = timeout_ns == kForever;
  const int64_t deadline_ns = for_ever ? kNever : around_->now_ns() + timeout_ns;
  while (!FindReady()) {
    others_->CheckAsleep(for_ever);
    if (around_->random.OneIn(256)) return;  // a signal
    if (!others_->GoOnAsleep(deadline_ns)) return;
  }
}

void SimLoop::Spend(int fd) {
  const int64_t took_ns = others_->SystemCallNs(fd);
  around_->hands.now_ns += took_ns;
  around_->hands.computed_ns += took_ns;
}

void SimLoop::SignalOwner(int fd) {
  Spend(fd);
  mediator::SignalOwnersEventfd(fd);
}

void SimLoop::DrainKick(int fd) {
  Spend(fd);
  mediator::DrainEventfd(fd);
}

// ---- timers ----

base::UniqueFd SimLoop::MakeTimer() { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void SimLoop::SetTimer(int fd, int64_t delay_ns) {
  const Outside outside;
  std::erase_if(timers_, [fd](const Timer& timer) { return timer.fd == fd; });
  timers_.push_back({fd, around_->now_ns() + delay_ns});
}

void SimLoop::FireTimers() {
  const auto due = [this](const Timer& timer) { return timer.due_ns <= around_->now_ns(); };
  for (const Timer& timer : timers_) {
    if (due(timer)) mediator::SignalEventfd(timer.fd);
  }
  std::erase_if(timers_, due);
}

int64_t SimLoop::NextTimerNs() const {
  int64_t next_ns = kNever;
  for (const Timer& timer : timers_) next_ns = std::min(next_ns, timer.due_ns);
  return next_ns;
}

}  // namespace vgpu::simulation
