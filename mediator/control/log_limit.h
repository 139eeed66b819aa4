// SPDX-License-Identifier: Apache-2.0
// Which lines a peer may put into the log. A sentence about what went wrong is logged once a minute, and of
// all such sentences a few a second. That a VM came or went is logged some times, then once a second. What
// was left out is counted. Pure: the caller brings the clock.
#ifndef VGPU_MEDIATOR_CONTROL_LOG_LIMIT_H_
#define VGPU_MEDIATOR_CONTROL_LOG_LIMIT_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "mediator/control/admission.h"

namespace vgpu::mediator {

class LogLimit {
 public:
  // May it be logged now?
  bool Allows(const std::string& line, int64_t now_ns) {
    if (lines_.size() >= kLinesMax) lines_.clear();
    int64_t& next_ns = lines_[line];
    if (next_ns > now_ns || !lines_a_second_.TryTake(now_ns)) {
      ++left_out_;
      return false;
    }
    next_ns = now_ns + kAgainNs;
    return true;
  }
  // May it be logged that this VM came, or went?
  bool AllowsLife(uint32_t vm_id, int64_t now_ns) {
    if (lives_.size() >= kLinesMax) lives_.clear();
    if (lives_.try_emplace(vm_id, 1, 10).first->second.TryTake(now_ns) && lives_a_second_.TryTake(now_ns))
      return true;
    ++left_out_;
    return false;
  }
  // How many were left out since the last time that somebody asked.
  uint64_t TakeLeftOut() { return std::exchange(left_out_, 0); }

 private:
  static constexpr int64_t kAgainNs = 60'000'000'000;
  static constexpr size_t kLinesMax = 256;

  std::map<std::string, int64_t> lines_;  // when each may come again
  TokenBucket lines_a_second_{5, 50};
  std::map<uint32_t, TokenBucket> lives_;
  TokenBucket lives_a_second_{20, 600};
  uint64_t left_out_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_LOG_LIMIT_H_
