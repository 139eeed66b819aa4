// SPDX-License-Identifier: Apache-2.0
#include "mediator/inspect_errand.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "mediator/missing_pages.h"

namespace vgpu::mediator {

InspectErrand::InspectErrand(std::vector<Subject> subjects, std::function<void(const std::vector<Subject>&)> done)
    : subjects_(std::move(subjects)), done_(std::move(done)) {}

bool InspectErrand::Step() {
  if (next_ == subjects_.size()) return true;
  Subject& subject = subjects_[next_++];
  if (missing_pages::Mapped(subject.region, subject.bytes)) return next_ == subjects_.size();
  subject.finding = Finding::kTampered;
  if (madvise(subject.region, subject.bytes, MADV_POPULATE_WRITE) != 0 && errno == EFAULT) subject.finding = Finding::kLost;
  return next_ == subjects_.size();
}

}  // namespace vgpu::mediator
