// SPDX-License-Identifier: Apache-2.0
// Which lines a peer may put into the log: each sentence once a minute, and no more than a few a second of all. What was
// left out is counted. Pure: the caller brings the clock.
#ifndef VGPU_MEDIATOR_LOG_LIMIT_H_
#define VGPU_MEDIATOR_LOG_LIMIT_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "mediator/door.h"

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
  // How many were left out since the last time that somebody asked.
  uint64_t TakeLeftOut() { return std::exchange(left_out_, 0); }

 private:
  static constexpr int64_t kAgainNs = 60'000'000'000;
  static constexpr size_t kLinesMax = 256;

  std::map<std::string, int64_t> lines_;  // when each may come again
  TokenBucket lines_a_second_{5, 50};
  uint64_t left_out_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOG_LIMIT_H_
