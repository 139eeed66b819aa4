// SPDX-License-Identifier: Apache-2.0
// Readers of the log that stand still, go away, and come back.
#include "mediator/process/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string Lost(uint64_t lines) { return "lost " + std::to_string(lines) + "\n"; }

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    reader_ = base::UniqueFd(ends[0]);
    writer_ = ends[1];  // never closed: the queue's thread lives on
  }
  LogQueue* Start(LogLimits limits = {}) {
    const auto queue = LogQueue::Start(writer_, limits, Lost);
    EXPECT_TRUE(queue.has_value());
    return queue.value();
  }
  std::string ReadUntil(const std::string& last) {
    std::string text;
    char piece[4096];
    while (text.size() < last.size() || text.compare(text.size() - last.size(), last.size(), last) != 0) {
      const ssize_t got = read(reader_.get(), piece, sizeof piece);
      if (got <= 0) break;
      text.append(piece, static_cast<size_t>(got));
    }
    return text;
  }

  base::UniqueFd reader_;
  int writer_ = -1;
};

TEST_F(LogTest, Lines_AreWrittenInOrder) {
  LogQueue* queue = Start();
  for (int i = 0; i < 100; ++i) queue->Push(std::to_string(i) + "\n");
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(ReadUntil("99\n"), expected);
  queue->Flush(milliseconds(60'000));
  EXPECT_EQ(queue->dropped(), 0u);
}

TEST_F(LogTest, ReaderStandsStill_NobodyWaitsAndTheLossIsCountedAndTold) {
  LogQueue* queue = Start({.lines_max = 10, .bytes_max = 1 << 20});
  const std::string line(8192, 'x');
  constexpr int kLines = 1000;  // far more than a pipe and the queue hold
  for (int i = 0; i < kLines; ++i) queue->Push(line + "\n");
  EXPECT_GT(queue->dropped(), 0u);
  const auto start = steady_clock::now();
  queue->Flush(milliseconds(20));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(30)) << "the end waits for the reader";
  queue->Push("last\n");
  const uint64_t dropped = queue->dropped();
  const std::string text = ReadUntil("last\n");
  // It is said in one line, or, if the reader was quick in between, in several.
  std::istringstream lines(text);
  uint64_t written = 0, told = 0;
  for (std::string word; std::getline(lines, word);) {
    const bool tells = word.rfind("lost ", 0) == 0;
    told += tells ? std::stoull(word.substr(5)) : 0;
    written += tells ? 0 : 1;
  }
  EXPECT_EQ(told, dropped) << "of " << dropped << " lost lines";
  EXPECT_EQ(written + dropped, kLines + 1u);
}

TEST_F(LogTest, ManyBytes_AreBounded) {
  LogQueue* queue = Start({.lines_max = 1 << 20, .bytes_max = 4096});
  for (int i = 0; i < 1000; ++i) queue->Push(std::string(1024, 'x') + "\n");
  EXPECT_GT(queue->dropped(), 900u);
}

TEST_F(LogTest, ReaderGone_LinesAreCountedAndTheProcessLives) {
  LogQueue* queue = Start();
  reader_.reset();
  for (int i = 0; i < 10; ++i) queue->Push("line\n");
  queue->Flush(milliseconds(60'000));
  EXPECT_EQ(queue->dropped(), 10u);
}

TEST_F(LogTest, NonBlockingDescriptor_LosesNothing) {
  ASSERT_EQ(fcntl(writer_, F_SETFL, O_NONBLOCK), 0);
  LogQueue* queue = Start();
  const std::string line(8192, 'x');
  for (int i = 0; i < 100; ++i) queue->Push(line + "\n");
  queue->Push("last\n");
  EXPECT_EQ(ReadUntil("last\n").size(), 100 * (line.size() + 1) + 5);
  EXPECT_EQ(queue->dropped(), 0u);
}

}  // namespace
}  // namespace vgpu::mediator
