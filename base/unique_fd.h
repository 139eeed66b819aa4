// SPDX-License-Identifier: Apache-2.0
// A file descriptor with an owner.
#ifndef VGPU_BASE_UNIQUE_FD_H_
#define VGPU_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace vgpu::base {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // The descriptor, whose owner the caller is from now on.
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace vgpu::base

#endif  // VGPU_BASE_UNIQUE_FD_H_
