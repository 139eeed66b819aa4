// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/inspect_task.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/missing_pages.h"

namespace vgpu::mediator {
namespace {

constexpr size_t kStepBytes = size_t{64} << 20;

}  // namespace

InspectTask::InspectTask(std::vector<Subject> subjects, std::function<void(const std::vector<Subject>&)> done)
    : subjects_(std::move(subjects)), done_(std::move(done)) {}

bool InspectTask::Step() {
  if (next_ == subjects_.size()) return true;
  if (InspectSome(&subjects_[next_])) {
    ++next_;
    at_ = 0;
  }
  return next_ == subjects_.size();
}

// True: that was all of it.
bool InspectTask::InspectSome(Subject* subject) {
  if (!subject->mapped->load()) return true;
  char* const part = subject->region + at_;
  const size_t bytes = std::min(kStepBytes, subject->bytes - at_);
  at_ += bytes;
  if (!base::missing_pages::Mapped(part, bytes)) {
    subject->finding = Finding::kReplaced;
    if (madvise(part, bytes, MADV_POPULATE_WRITE) != 0 && errno == EFAULT) subject->finding = Finding::kLost;
  }
  return at_ == subject->bytes || subject->finding == Finding::kLost;
}

}  // namespace vgpu::mediator
