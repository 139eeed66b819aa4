// SPDX-License-Identifier: Apache-2.0
// Small items from one thread to another, in order, through a bounded queue.
// Neither side ever waits for the other.
#ifndef VGPU_MEDIATOR_LOOP_MAILBOX_H_
#define VGPU_MEDIATOR_LOOP_MAILBOX_H_

#include <sys/eventfd.h>

#include <atomic>
#include <bit>
#include <cassert>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/mutant.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/loop/eventfd.h"

namespace vgpu::mediator {

// One thread posts, one thread takes. Allocates in Create only.
template <class T>
class Mailbox {
 public:
  // Has room for at least `capacity` items.
  static base::Result<std::unique_ptr<Mailbox>> Create(uint32_t capacity) {
    base::UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) return base::SystemError("cannot create an eventfd");
    return std::unique_ptr<Mailbox>(new Mailbox(std::bit_ceil(capacity), std::move(fd)));
  }

  // The mailbox is never full: the protocol of its two threads bounds how many items are under way.
  void Post(const T& message) {
    const uint32_t posted = posted_.load(std::memory_order_relaxed);
    assert(posted - taken_.load(std::memory_order_acquire) <= mask_);
    messages_[posted & mask_] = message;
    posted_.store(posted + 1, std::memory_order_release);
    SignalEventfd(fd_.get());
  }

  // Takes the oldest item; false if there is none.
  bool Take(T* message) {
    const uint32_t taken = taken_.load(std::memory_order_relaxed);
    if (taken == posted_.load(std::memory_order_acquire)) return false;
    if (VGPU_MUTANT("control_message_reordered") && !last(taken)) {
      std::swap(messages_[taken & mask_], messages_[(taken + 1) & mask_]);
    }
    *message = messages_[taken & mask_];
    taken_.store(taken + 1, std::memory_order_release);
    return true;
  }

  // For its taker.
  bool empty() const {
    return taken_.load(std::memory_order_relaxed) == posted_.load(std::memory_order_acquire);
  }

  // Readable when there may be items: drain it, then take them all.
  int fd() const { return fd_.get(); }

 private:
  bool last(uint32_t taken) const { return taken + 1 == posted_.load(std::memory_order_acquire); }
  Mailbox(uint32_t size, base::UniqueFd fd) : mask_(size - 1), messages_(new T[size]()), fd_(std::move(fd)) {}

  const uint32_t mask_;
  const std::unique_ptr<T[]> messages_;
  const base::UniqueFd fd_;  // only this process holds it
  alignas(64) std::atomic<uint32_t> posted_{0};
  alignas(64) std::atomic<uint32_t> taken_{0};
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_MAILBOX_H_
