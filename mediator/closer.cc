// SPDX-License-Identifier: Apache-2.0
#include "mediator/closer.h"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "mediator/peer_fd.h"
#include "mediator/thread_signals.h"

namespace vgpu::mediator {
namespace {

constexpr std::chrono::milliseconds kDrainPatience{500};

}  // namespace

struct Closer::State : std::enable_shared_from_this<Closer::State> {
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable closed;
  std::deque<int> fds;
  int threads = 0;
  int closing = 0;  // threads in a close
  bool stopping = false;

  static std::mutex g_mutex;
  static std::shared_ptr<State> g_state;  // of the closer that lives

  void Add(int fd);
  // What waits must not wait for a close that hangs.
  void KeepOneFree() {
    if (!fds.empty() && closing == threads && threads < kThreadsMax) StartThread();
  }
  void StartThread();
  void Work();
};

std::mutex Closer::State::g_mutex;
std::shared_ptr<Closer::State> Closer::State::g_state;

// Holds the mutex. Without a thread what is queued waits for the next one.
void Closer::State::StartThread() {
  try {
    const BlockedSignals blocked;
    std::thread([self = shared_from_this()] { self->Work(); }).detach();
    ++threads;
  } catch (const std::system_error&) {
  }
}

void Closer::State::Add(int fd) {
  const std::lock_guard lock(mutex);
  fds.push_back(fd);
  KeepOneFree();
  wake.notify_one();
}

void Closer::State::Work() {
  pthread_setname_np(pthread_self(), "vgpu-closer");
  std::unique_lock lock(mutex);
  for (;;) {
    // One stays and waits; the others were for a moment.
    if (threads == 1) wake.wait(lock, [this] { return stopping || !fds.empty(); });
    if (fds.empty()) break;
    const int fd = fds.front();
    fds.pop_front();
    ++closing;
    KeepOneFree();
    lock.unlock();
    close(fd);
    lock.lock();
    --closing;
    closed.notify_all();
  }
  --threads;
  closed.notify_all();
}

Closer::Closer() : state_(std::make_shared<State>()) {
  const std::lock_guard lock(State::g_mutex);
  State::g_state = state_;
}

bool Closer::Drain() {
  std::unique_lock lock(state_->mutex);
  return state_->closed.wait_for(lock, kDrainPatience,
                                 [this] { return state_->fds.empty() && state_->closing == 0; });
}

Closer::~Closer() {
  {
    const std::lock_guard lock(State::g_mutex);
    State::g_state.reset();
  }
  Drain();
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_all();
  state_->closed.wait_for(lock, kDrainPatience, [this] { return state_->threads == state_->closing; });
}

void CloseElsewhere(int fd) {
  std::shared_ptr<Closer::State> state;
  {
    const std::lock_guard lock(Closer::State::g_mutex);
    state = Closer::State::g_state;
  }
  if (state != nullptr) return state->Add(fd);
  close(fd);
}

}  // namespace vgpu::mediator
