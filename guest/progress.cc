// SPDX-License-Identifier: Apache-2.0
#include "guest/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "base/duration.h"

namespace vgpu::guest {
namespace {

constexpr int kColumns = 79;  // blanks instead of an escape sequence: right on any terminal

}  // namespace

Progress::Progress(std::string what) : terminal_(isatty(STDERR_FILENO) == 1), what_(std::move(what)) {}

Progress::~Progress() {
  if (shown_) std::fputs(fmt::format("\r{:{}}\r", "", kColumns).c_str(), stderr);
}

void Progress::Show(uint64_t done, uint64_t of, uint64_t wrong) {
  if (!terminal_) return;
  shown_ = true;
  shown_at_ = Clock::now();
  const std::string line = fmt::format("{}: {} of {}, {} wrong, {}", what_, done, of, wrong,
                                       base::DurationText(shown_at_ - begin_));
  std::fputs(fmt::format("\r{:{}.{}}", line, kColumns, kColumns).c_str(), stderr);
}

void Progress::ShowIfDue(uint64_t done, uint64_t of, uint64_t wrong) {
  if (terminal_ && Clock::now() - shown_at_ >= std::chrono::nanoseconds(kEveryNs)) Show(done, of, wrong);
}

}  // namespace vgpu::guest
