// SPDX-License-Identifier: Apache-2.0
// Records times that end at the same moment. Those that also began together are recorded in one step.
#ifndef VGPU_SERVE_SAME_TIME_H_
#define VGPU_SERVE_SAME_TIME_H_

#include <cstdint>

#include "base/histogram.h"

namespace vgpu::serve {

class SameTime {
 public:
  SameTime(base::PublishedHistogram* histogram, int64_t now_ns) : histogram_(histogram), now_ns_(now_ns) {}
  SameTime(const SameTime&) = delete;
  SameTime& operator=(const SameTime&) = delete;
  ~SameTime() { Record(); }

  void Add(int64_t begin_ns) {
    if (begin_ns != begin_ns_) Record();
    begin_ns_ = begin_ns;
    ++count_;
  }

 private:
  void Record() {
    histogram_->RecordMany(static_cast<uint64_t>(now_ns_ - begin_ns_), count_);
    count_ = 0;
  }

  base::PublishedHistogram* const histogram_;
  const int64_t now_ns_;
  int64_t begin_ns_ = 0;
  uint32_t count_ = 0;
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_SAME_TIME_H_
