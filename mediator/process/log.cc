// SPDX-License-Identifier: Apache-2.0
#include "mediator/process/log.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/details/os.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

constexpr std::chrono::milliseconds kFlushPatience{300};
constexpr char kPattern[] = "%Y-%m-%dT%H:%M:%S.%e %^%l%$ mediator: %v";
LogQueue* g_queue = nullptr;

std::string Lost(uint64_t lines) {
  return fmt::format("{} lines of the log were lost: its reader is too slow, or was gone", lines);
}

// systemd says which stream it has given to us; somebody may have redirected it since.
bool ToJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info;
  if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) return false;
  return fmt::format("{}:{}", info.st_dev, info.st_ino) == stream;
}

// As syslog counts.
int JournalPriority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical: return 2;
    case spdlog::level::err: return 3;
    case spdlog::level::warn: return 4;
    case spdlog::level::info: return 6;
    default: return 7;
  }
}

std::string_view Colour(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err: return "\033[31m\033[1m";
    case spdlog::level::warn: return "\033[33m\033[1m";
    case spdlog::level::info: return "\033[32m";
    default: return "\033[36m";
  }
}

// spdlog's end of the queue: formats on the caller's thread.
class QueueSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit QueueSink(LogQueue* queue, bool journal)
      : queue_(queue),
        journal_(journal),
        colour_(spdlog::details::os::in_terminal(stderr) && spdlog::details::os::is_color_terminal()) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t formatted;
    formatter_->format(message, formatted);
    std::string line(formatted.data(), formatted.size());
    if (journal_) line.insert(0, fmt::format("<{}>", JournalPriority(message.level)));
    if (colour_ && message.color_range_end > message.color_range_start) {
      line.insert(message.color_range_end, "\033[m");
      line.insert(message.color_range_start, Colour(message.level));
    }
    queue_->Push(std::move(line));
  }
  void flush_() override {}

  LogQueue* const queue_;
  const bool journal_;
  const bool colour_;
};

}  // namespace

base::Result<LogQueue*> LogQueue::Start(int fd, LogLimits limits, std::string (*lost)(uint64_t lines)) {
  auto* queue = new LogQueue(fd, limits, lost);  // never freed: its thread may stand in a write for ever
  auto thread = StartThread("the log", [queue] { queue->Work(); });
  if (!thread) {
    delete queue;
    return tl::make_unexpected(thread.error());
  }
  thread->detach();
  return queue;
}

void LogQueue::Push(std::string line) {
  {
    std::lock_guard lock(mutex_);
    bytes_ += line.size();
    lines_.push_back(std::move(line));
    while (lines_.size() > limits_.lines_max || (bytes_ > limits_.bytes_max && lines_.size() > 1)) {
      bytes_ -= lines_.front().size();
      lines_.pop_front();
      ++dropped_;
    }
  }
  filled_.notify_one();
}

void LogQueue::Flush(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  idle_.wait_for(lock, patience, [this] { return lines_.empty() && !writing_; });
}

uint64_t LogQueue::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

std::string LogQueue::Next() {
  std::unique_lock lock(mutex_);
  writing_ = false;
  if (lines_.empty()) idle_.notify_all();
  filled_.wait(lock, [this] { return !lines_.empty(); });
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  bytes_ -= line.size();
  writing_ = true;
  return line;
}

// Another process that shares the open file may have made it non-blocking.
bool LogQueue::Write(const std::string& text) const {
  for (size_t done = 0; done < text.size();) {
    const ssize_t put = write(fd_, text.data() + done, text.size() - done);
    if (put >= 0) {
      done += static_cast<size_t>(put);
    } else if (errno == EAGAIN) {
      pollfd room{fd_, POLLOUT, 0};
      poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// In its place: before the first line that came after them and was written.
void LogQueue::TellLost() {
  uint64_t lost = 0;
  {
    std::lock_guard lock(mutex_);
    lost = dropped_ - told_;
  }
  if (lost == 0 || !Write(lost_(lost))) return;
  std::lock_guard lock(mutex_);
  told_ += lost;
}

void LogQueue::Work() {
  for (;;) {
    const std::string line = Next();
    TellLost();
    if (Write(line)) continue;
    std::lock_guard lock(mutex_);
    ++dropped_;
  }
}

base::Result<void> StartLog(const std::string& level) {
  static const bool journal = ToJournal();
  const auto lost = [](uint64_t lines) {
    if (journal) return fmt::format("<4>{}\n", Lost(lines));
    spdlog::pattern_formatter formatter(kPattern);
    const std::string text = Lost(lines);
    spdlog::memory_buf_t line;
    formatter.format(spdlog::details::log_msg("vgpu", spdlog::level::warn, text), line);
    return std::string(line.data(), line.size());
  };
  const auto queue = LogQueue::Start(STDERR_FILENO, {}, lost);
  if (!queue) return tl::make_unexpected(queue.error());
  g_queue = *queue;
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("vgpu", std::make_shared<QueueSink>(g_queue, journal)));
  spdlog::set_pattern(journal ? "%v" : kPattern);
  spdlog::set_level(spdlog::level::from_str(level));
  return {};
}

void FlushLog() {
  if (g_queue != nullptr) g_queue->Flush(kFlushPatience);
}

uint64_t LogLinesDropped() { return g_queue != nullptr ? g_queue->dropped() : 0; }

}  // namespace vgpu::mediator
