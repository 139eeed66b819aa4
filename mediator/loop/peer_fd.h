// SPDX-License-Identifier: Apache-2.0
// A descriptor that came from a peer, or leads to one. Closing it may take as long as the peer likes (a file
// system of its own, a socket that lingers, gigabytes to free, a list of waiters). So other threads close it.
#ifndef VGPU_MEDIATOR_LOOP_PEER_FD_H_
#define VGPU_MEDIATOR_LOOP_PEER_FD_H_

#include <cstdint>
#include <utility>

#include "base/unique_fd.h"

namespace vgpu::mediator {

// What is known of a descriptor: that its close ends by itself (memory, eventfds), or nothing.
enum class PeerFdKind : uint8_t { kUnknown, kEndsByItself };

// Closes `fd` on a thread that nobody waits for (closer.h), or here if this process
// has no Closer. Any thread.
void CloseElsewhere(int fd, PeerFdKind kind);

// Like base::UniqueFd, but CloseElsewhere closes it.
class PeerFd {
 public:
  PeerFd() = default;
  explicit PeerFd(int fd) : fd_(fd) {}
  PeerFd(base::UniqueFd fd) : fd_(fd.release()) {}  // NOLINT: ours may be treated like a peer's
  PeerFd(PeerFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)), kind_(other.kind_) {}
  PeerFd& operator=(PeerFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
      kind_ = other.kind_;
    }
    return *this;
  }
  ~PeerFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) CloseElsewhere(std::exchange(fd_, -1), kind_);
  }
  // Its kind was checked: its close does not depend on its peer.
  void set_ends_by_itself() { kind_ = PeerFdKind::kEndsByItself; }

 private:
  int fd_ = -1;
  PeerFdKind kind_ = PeerFdKind::kUnknown;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_PEER_FD_H_
