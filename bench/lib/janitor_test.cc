// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/janitor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace vgpu::bench {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

TEST(Janitor, RemovesWhatAKilledProcessLeaves) {
  const fs::path folder = fs::path(testing::TempDir()) / ("janitor-" + std::to_string(getpid()));
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t owner = fork();
  ASSERT_GE(owner, 0);
  if (owner == 0) {
    fs::create_directories(folder / "inner");
    std::ofstream(folder / "inner" / "file") << "x";
    RemoveAtEnd(folder);
    RemoveAtEnd(folder / "not-there");
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(fs::exists(folder));
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  const auto deadline = steady_clock::now() + std::chrono::seconds(30);
  while (fs::exists(folder)) {
    ASSERT_LT(steady_clock::now(), deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace
}  // namespace vgpu::bench
