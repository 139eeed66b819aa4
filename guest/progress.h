// SPDX-License-Identifier: Apache-2.0
// A line on stderr, written anew each second, while something takes long and a person looks on.
#ifndef VGPU_GUEST_PROGRESS_H_
#define VGPU_GUEST_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace vgpu::guest {

class Progress {
 public:
  static constexpr uint64_t kEveryNs = 1'000'000'000;

  // Shows nothing unless stderr is a terminal.
  explicit Progress(std::string what);
  ~Progress();  // takes the line away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // For a plan: null where nothing is shown, so that looking at the clock for it costs nothing.
  Progress* if_shown() { return terminal_ ? this : nullptr; }
  void set_what(std::string what) { what_ = std::move(what); }
  // At once; to be called about every kEveryNs.
  void Show(uint64_t done, uint64_t of, uint64_t wrong);
  // The same, if it is time.
  void ShowIfDue(uint64_t done, uint64_t of, uint64_t wrong);

 private:
  using Clock = std::chrono::steady_clock;

  const bool terminal_;
  std::string what_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point shown_at_ = begin_;
  bool shown_ = false;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_PROGRESS_H_
