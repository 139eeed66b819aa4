// SPDX-License-Identifier: Apache-2.0
// Tens of thousands who wait for a descriptor: who signals it, wakes each.
#ifndef VGPU_TESTS_SUPPORT_CROWD_H_
#define VGPU_TESTS_SUPPORT_CROWD_H_

#include <sys/epoll.h>
#include <unistd.h>

#include <vector>

#include "base/unique_fd.h"

namespace vgpu::test {

class Crowd {
 public:
  // Dups of it in many epolls: each of them has an entry for each of some hundred dups.
  explicit Crowd(int fd, int epolls = 100) {
    for (int i = 0; i < kDups; ++i) dups_.emplace_back(dup(fd));
    for (int i = 0; i < epolls; ++i) {
      epolls_.emplace_back(epoll_create1(EPOLL_CLOEXEC));
      for (const base::UniqueFd& dup : dups_) {
        epoll_event event{EPOLLIN, {}};
        waiters_ += epoll_ctl(epolls_.back().get(), EPOLL_CTL_ADD, dup.get(), &event) == 0 ? 1 : 0;
      }
    }
  }
  // How many there are: fewer than were asked for where the machine has no room.
  int waiters() const { return waiters_; }

 private:
  static constexpr int kDups = 300;
  std::vector<base::UniqueFd> dups_;
  std::vector<base::UniqueFd> epolls_;
  int waiters_ = 0;
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_SUPPORT_CROWD_H_
