// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/memory_thread.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {

base::Result<std::unique_ptr<MemoryThread>> MemoryThread::Create(EventLoop* loop) {
  base::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return tl::make_unexpected(std::string("cannot create an eventfd: ") + std::strerror(errno));
  std::unique_ptr<MemoryThread> memory_thread(new MemoryThread(loop, std::move(fd)));
  memory_thread->watch_ = loop->Watch(memory_thread->done_fd_.get(), memory_thread.get());
  if (memory_thread->watch_ < 0) return tl::make_unexpected(std::string("the event loop has no room"));
  auto thread = StartThread("for memory", [self = memory_thread.get()] { self->Work(); });
  if (!thread) return tl::make_unexpected(thread.error());
  memory_thread->thread_ = std::move(*thread);
  return memory_thread;
}

MemoryThread::MemoryThread(EventLoop* loop, base::UniqueFd done_fd)
    : loop_(loop), done_fd_(std::move(done_fd)) {}

MemoryThread::~MemoryThread() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  loop_->Unwatch(watch_);
}

void MemoryThread::Submit(std::unique_ptr<MemoryTask> task) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void MemoryThread::SubmitUrgent(std::unique_ptr<MemoryTask> task) {
  {
    std::lock_guard lock(mutex_);
    urgent_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void MemoryThread::Work() {
  pthread_setname_np(pthread_self(), "vgpu-memory");
  PrepareToSignal();
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty() || !urgent_.empty(); });
    if (stopping_) return;
    auto& queue = urgent_.empty() ? waiting_ : urgent_;
    std::unique_ptr<MemoryTask> task = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    const bool done = task->Step();
    lock.lock();
    (done ? done_ : queue).push_back(std::move(task));
    if (!done) continue;
    lock.unlock();
    SignalEventfd(done_fd_.get());  // not under the lock, which its reader takes first of all
    lock.lock();
  }
}

void MemoryThread::OnReady() {
  DrainEventfd(done_fd_.get());
  std::deque<std::unique_ptr<MemoryTask>> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  for (const auto& task : done) task->Done();
}

}  // namespace vgpu::mediator
