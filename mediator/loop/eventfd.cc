// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/eventfd.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

// The kernel itself signals an eventfd when an asynchronous read ends, and that never waits for room in the
// counter. So: a read of nothing from /dev/null, which ends within io_submit,
// with the eventfd to be signalled.
class AsyncSignaller {
 public:
  AsyncSignaller() : null_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {
    if (!null_ || syscall(SYS_io_setup, kEventsMax, &context_) != 0) return;
    events_ = reinterpret_cast<Events*>(context_);
    // The layout of the mapped completions is ABI only as far as this number says.
    if (events_->magic != kEventsMagic || events_->incompat_features != 0) events_ = nullptr;
  }
  ~AsyncSignaller() {
    if (context_ != 0) syscall(SYS_io_destroy, context_);
  }
  AsyncSignaller(const AsyncSignaller&) = delete;
  AsyncSignaller& operator=(const AsyncSignaller&) = delete;

  // False where the kernel has no asynchronous I/O, or a sandbox forbids it.
  bool Signal(int fd) {
    if (events_ == nullptr) return false;
    iocb read{};
    read.aio_lio_opcode = IOCB_CMD_PREAD;
    read.aio_fildes = static_cast<uint32_t>(null_.get());
    read.aio_flags = IOCB_FLAG_RESFD;
    read.aio_resfd = static_cast<uint32_t>(fd);
    iocb* reads[] = {&read};
    if (syscall(SYS_io_submit, context_, 1, reads) != 1) return false;
    // Takes the completion, unread: its place is needed for the next one.
    __atomic_store_n(&events_->head, __atomic_load_n(&events_->tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    return true;
  }

 private:
  static constexpr unsigned kEventsMax = 64;
  static constexpr uint32_t kEventsMagic = 0xa10a10a1;

  // struct aio_ring of the kernel, at the address that the context's number is.
  struct Events {
    uint32_t id;
    uint32_t nr;
    uint32_t head;
    uint32_t tail;
    uint32_t magic;
    uint32_t compat_features;
    uint32_t incompat_features;
    uint32_t header_bytes;
  };

  const base::UniqueFd null_;
  aio_context_t context_ = 0;
  Events* events_ = nullptr;
};

// A thread's own: it keeps no other one waiting.
AsyncSignaller& TheSignaller() {
  thread_local AsyncSignaller signaller;
  return signaller;
}

}  // namespace

void DrainEventfd(int fd) {
  uint64_t count;
  const iovec piece{&count, sizeof count};
  // Per call, because O_NONBLOCK belongs to the open file and the other side may clear it at any time.
  [[maybe_unused]] const ssize_t got = preadv2(fd, &piece, 1, -1, RWF_NOWAIT);
}

void SignalEventfd(int fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(fd, &one, sizeof one);
}

void PrepareToSignal() { TheSignaller(); }

void SignalOwnersEventfd(int fd) {
  if (TheSignaller().Signal(fd)) return;
  // Next best, with a gap: an owner that fills the counter between the look and the write stalls the loop.
  pollfd watched{fd, POLLOUT, 0};
  if (poll(&watched, 1, 0) == 1 && (watched.revents & POLLOUT) != 0) SignalEventfd(fd);
}

}  // namespace vgpu::mediator
