// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/uring_loop.h"

#include <fmt/format.h>
#include <liburing.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

// Completions of one RunReady; what is left stays in the queue.
constexpr uint32_t kReadyMax = 64;
constexpr uint64_t kIgnored = ~uint64_t{0};  // user data of a poll's removal

std::string SetupError(int error) {
  const std::string what = "io_uring cannot be used";
  if (error != EPERM && error != ENOSYS && error != EACCES) return Refused(what, error);
  return fmt::format(
      "{}: {}; enable it (sysctl kernel.io_uring_disabled=0, or allow it in the container's seccomp profile)",
      what, std::strerror(error));
}

class UringLoop final : public EventLoop {
 public:
  explicit UringLoop(uint32_t watches_max);
  ~UringLoop() override;
  base::Result<void> Open();

  int Watch(int fd, ReadyHandler* handler, uint32_t events) override;
  void UnwatchAll(std::span<const int> ids) override;
  int Poll() override;
  void Wait(int64_t timeout_ns) override;
  int RunReady() override;
  void SignalOwner(int fd) override { SignalOwnersEventfd(fd); }
  void DrainKick(int fd) override { DrainEventfd(fd); }
  base::UniqueFd MakeTimer() override;
  void SetTimer(int fd, int64_t delay_ns) override;

 private:
  struct WatchSlot {
    ReadyHandler* handler = nullptr;
    int fd = -1;
    uint32_t events = 0;
    uint32_t generation = 0;  // tells a late completion of an earlier watch apart
  };

  void Arm(uint32_t id);
  void Disarm(int id);
  io_uring_sqe* NextSqe();  // null: the loop is broken
  void CheckEntered(int entered);
  base::Result<void> Try();

  io_uring ring_{};
  std::vector<WatchSlot> watches_;
  std::vector<uint32_t> free_;
};

base::Result<void> UringLoop::Open() {
  const auto watches_max = static_cast<uint32_t>(watches_.size());
  // A watch has at most one poll and one removal under way, each with one completion.
  const uint32_t entries = std::bit_ceil(watches_max);
  io_uring_params params{};
  // The flag is what Poll looks at: without it, a loop that always has something to do would see nothing new.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_CQSIZE;
  params.cq_entries = entries * 4;
  int result = io_uring_queue_init_params(std::min(entries, 4096u), &ring_, &params);
  if (result == -EINVAL) {  // Linux before 6.1 does not know these flags
    params = {};
    params.flags = IORING_SETUP_CQSIZE;
    params.cq_entries = entries * 4;
    result = io_uring_queue_init_params(std::min(entries, 4096u), &ring_, &params);
  }
  if (result < 0) {
    ring_.ring_fd = -1;
    return tl::make_unexpected(SetupError(-result));
  }
  return Try();
}

UringLoop::UringLoop(uint32_t watches_max) : watches_(watches_max) {
  ring_.ring_fd = -1;
  free_.reserve(watches_max);
  for (uint32_t id = watches_max; id-- > 0;) free_.push_back(id);
}

UringLoop::~UringLoop() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

// What io_uring_enter returned: interrupted, and full, are moments; anything else stays so.
void UringLoop::CheckEntered(int entered) {
  if (entered >= 0 || entered == -EINTR || entered == -EAGAIN || entered == -EBUSY) return;
  Break(SetupError(-entered));
}

io_uring_sqe* UringLoop::NextSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr && error().empty()) {
    CheckEntered(io_uring_submit(&ring_));
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

// A sandbox may allow io_uring_setup and refuse io_uring_enter.
base::Result<void> UringLoop::Try() {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_nop(sqe);
  sqe->user_data = kIgnored;
  CheckEntered(io_uring_submit_and_wait(&ring_, 1));
  if (!error().empty()) return tl::make_unexpected(error());
  RunReady();
  return {};
}

void UringLoop::Arm(uint32_t id) {
  io_uring_sqe* sqe = NextSqe();
  if (sqe == nullptr) return;
  io_uring_prep_poll_add(sqe, watches_[id].fd, watches_[id].events);
  sqe->user_data = uint64_t{watches_[id].generation} << 32 | id;
}

int UringLoop::Watch(int fd, ReadyHandler* handler, uint32_t events) {
  assert(fd >= 0 && handler != nullptr);
  if (free_.empty()) return -1;
  const uint32_t id = free_.back();
  free_.pop_back();
  watches_[id].handler = handler;
  watches_[id].fd = fd;
  watches_[id].events = events;
  Arm(id);
  return static_cast<int>(id);
}

void UringLoop::UnwatchAll(std::span<const int> ids) {
  for (const int id : ids) Disarm(id);
  // A poll holds the open file, not the number: submit before the caller closes the descriptor.
  if (io_uring_sq_ready(&ring_) != 0) CheckEntered(io_uring_submit(&ring_));
}

void UringLoop::Disarm(int id) {
  if (id < 0) return;
  WatchSlot& watch = watches_[static_cast<uint32_t>(id)];
  assert(watch.handler != nullptr);
  if (io_uring_sqe* sqe = NextSqe(); sqe != nullptr) {
    io_uring_prep_poll_remove(sqe, uint64_t{watch.generation} << 32 | static_cast<uint32_t>(id));
    sqe->user_data = kIgnored;
  }
  watch.handler = nullptr;
  watch.fd = -1;
  ++watch.generation;
  free_.push_back(static_cast<uint32_t>(id));
}

int UringLoop::RunReady() {
  int ran = 0;
  io_uring_cqe* cqe = nullptr;
  for (uint32_t seen = 0; seen < kReadyMax && io_uring_peek_cqe(&ring_, &cqe) == 0; ++seen) {
    const uint64_t user_data = cqe->user_data;
    io_uring_cqe_seen(&ring_, cqe);
    if (user_data == kIgnored) continue;
    const uint32_t id = static_cast<uint32_t>(user_data);
    const uint32_t generation = static_cast<uint32_t>(user_data >> 32);
    if (watches_[id].handler == nullptr || watches_[id].generation != generation) continue;
    watches_[id].handler->OnReady();
    ++ran;
    // The handler may have ended this watch, or ended it and started another one with its id.
    if (watches_[id].handler != nullptr && watches_[id].generation == generation) Arm(id);
  }
  return ran;
}

int UringLoop::Poll() {
  // With DEFER_TASKRUN the queue looks empty until this thread enters the kernel;
  // the flag says when that pays.
  const bool pending = IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
  if (io_uring_sq_ready(&ring_) != 0 || pending) {
    CheckEntered(io_uring_submit(&ring_));
    if (pending) CheckEntered(io_uring_get_events(&ring_));
  } else if (io_uring_cq_ready(&ring_) == 0) {
    return 0;
  }
  return RunReady();
}

void UringLoop::Wait(int64_t timeout_ns) {
  CountSleep();
  if (timeout_ns == kForever) return CheckEntered(io_uring_submit_and_wait(&ring_, 1));
  __kernel_timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  io_uring_cqe* cqe = nullptr;
  const int entered = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  if (entered != -ETIME) CheckEntered(entered);
}

base::UniqueFd UringLoop::MakeTimer() {
  return base::UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

void UringLoop::SetTimer(int fd, int64_t delay_ns) {
  itimerspec time{};
  time.it_value = {delay_ns / 1'000'000'000, delay_ns % 1'000'000'000};
  timerfd_settime(fd, 0, &time, nullptr);
}

}  // namespace

base::Result<std::unique_ptr<EventLoop>> MakeUringLoop(uint32_t watches_max) {
  auto loop = std::make_unique<UringLoop>(watches_max);
  if (const auto opened = loop->Open(); !opened) return tl::make_unexpected(opened.error());
  return std::unique_ptr<EventLoop>(std::move(loop));
}

}  // namespace vgpu::mediator
