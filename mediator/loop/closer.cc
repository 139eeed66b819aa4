// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/closer.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "mediator/loop/peer_fd.h"
#include "mediator/loop/threads.h"

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
  static std::array<std::shared_ptr<State>, 2> g_states;  // of the closer that lives

  void Add(int fd);
  // What waits must not wait for a close that hangs.
  void KeepOneFree() {
    if (!fds.empty() && closing == threads && threads < kThreadsMax) StartThread();
  }
  void StartThread();
  void Work();
};

std::mutex Closer::State::g_mutex;
std::array<std::shared_ptr<Closer::State>, 2> Closer::State::g_states;

// Holds the mutex. Without a thread what is queued waits for the next one.
void Closer::State::StartThread() {
  auto thread =
      mediator::StartThread("that closes descriptors", [self = shared_from_this()] { self->Work(); });
  if (!thread) return;
  thread->detach();
  ++threads;
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

Closer::Closer() : states_{std::make_shared<State>(), std::make_shared<State>()} {
  const std::lock_guard lock(State::g_mutex);
  State::g_states = states_;
}

bool Closer::Drain() {
  bool all = true;
  for (const auto& state : states_) {
    std::unique_lock lock(state->mutex);
    all &= state->closed.wait_for(lock, kDrainPatience,
                                  [&] { return state->fds.empty() && state->closing == 0; });
  }
  return all;
}

Closer::~Closer() {
  {
    const std::lock_guard lock(State::g_mutex);
    State::g_states = {};
  }
  Drain();
  for (const auto& state : states_) {
    std::unique_lock lock(state->mutex);
    state->stopping = true;
    state->wake.notify_all();
    state->closed.wait_for(lock, kDrainPatience, [&] { return state->threads == state->closing; });
  }
}

void Closer::Close(int fd, PeerFdKind kind) {
  std::shared_ptr<State> state;
  {
    const std::lock_guard lock(State::g_mutex);
    state = State::g_states[static_cast<size_t>(kind)];
  }
  if (state != nullptr) return state->Add(fd);
  close(fd);
}

void CloseElsewhere(int fd, PeerFdKind kind) { Closer::Close(fd, kind); }

}  // namespace vgpu::mediator
