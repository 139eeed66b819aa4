// SPDX-License-Identifier: Apache-2.0
// The daemon's log. Its reader may be slow, stand still, or be gone. So lines wait in a bounded queue for a
// thread of their own, and only that thread waits for the reader. When the queue is full the oldest lines are
// dropped and counted.
#ifndef VGPU_MEDIATOR_PROCESS_LOG_H_
#define VGPU_MEDIATOR_PROCESS_LOG_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"

namespace vgpu::mediator {

struct LogLimits {
  size_t lines_max = 4096;
  size_t bytes_max = 1 << 20;
};

class LogQueue {
 public:
  // Starts the thread that writes to `fd`. It never ends, nor does the queue: the process may end while a
  // write hangs. `lost` makes the line that says how many lines were lost.
  static base::Result<LogQueue*> Start(int fd, LogLimits limits, std::string (*lost)(uint64_t lines));

  // Any thread; never waits for the reader. `line` ends with a newline.
  void Push(std::string line);
  // Waits until all lines are written or lost, but not longer than `patience`.
  void Flush(std::chrono::milliseconds patience);
  // Lines that nobody will ever read.
  uint64_t dropped() const;

 private:
  LogQueue(int fd, LogLimits limits, std::string (*lost)(uint64_t lines))
      : fd_(fd), limits_(limits), lost_(lost) {}
  [[noreturn]] void Work();
  std::string Next();
  bool Write(const std::string& text) const;
  void TellLost();

  const int fd_;
  const LogLimits limits_;
  std::string (*const lost_)(uint64_t lines);
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable idle_;
  std::deque<std::string> lines_;
  size_t bytes_ = 0;
  bool writing_ = false;
  uint64_t dropped_ = 0;
  uint64_t told_ = 0;  // of dropped_: what the log says itself
};

// Makes spdlog's default logger write to stderr through a LogQueue: with time stamps, or as journald wants it
// if stderr is its stream. `level` is one of debug, info, warning, error.
base::Result<void> StartLog(const std::string& level);
// At the end of the program: what is in the queue is written if somebody reads it.
void FlushLog();
// How many lines were lost since the start.
uint64_t LogLinesDropped();

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_PROCESS_LOG_H_
