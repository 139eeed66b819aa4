// SPDX-License-Identifier: Apache-2.0
#include "mediator/background.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "mediator/eventfd.h"
#include "mediator/thread_signals.h"

namespace vgpu::mediator {

ring::Result<std::unique_ptr<Background>> Background::Create(EventLoop* loop) {
  ring::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return tl::make_unexpected(std::string("cannot create an eventfd: ") + std::strerror(errno));
  std::unique_ptr<Background> background(new Background(std::move(fd)));
  if (loop->Watch(background->done_fd_.get(), background.get()) < 0) {
    return tl::make_unexpected(std::string("the event loop has no room"));
  }
  return background;
}

Background::Background(ring::UniqueFd done_fd) : done_fd_(std::move(done_fd)) {
  const BlockedSignals blocked;
  thread_ = std::thread([this] { Work(); });
}

Background::~Background() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Background::Submit(Job job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Background::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    Completion completion = job();
    job = nullptr;  // what it captured is released here, not on the loop's thread
    lock.lock();
    if (!completion) continue;
    done_.push_back(std::move(completion));
    SignalEventfd(done_fd_.get());
  }
}

void Background::OnReady() {
  DrainEventfd(done_fd_.get());
  std::deque<Completion> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  for (Completion& completion : done) completion();
}

}  // namespace vgpu::mediator
