// SPDX-License-Identifier: Apache-2.0
// A mediator as a child process, for tests: started, watched, ended.
#ifndef VGPU_TESTS_DAEMON_DAEMON_H_
#define VGPU_TESTS_DAEMON_DAEMON_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vgpu::test {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

// How long something may take that takes milliseconds on an idle machine.
inline constexpr std::chrono::seconds kPatience{60};

inline constexpr char kMediator[] = "mediator/mediator";             // in the runfiles
inline constexpr char kCrashMediator[] = "mediator/mediator_crash";  // with crash points

// Looks every few hundred microseconds. False: the condition did not come true within `patience`.
bool Eventually(const std::function<bool()>& condition, Clock::duration patience = kPatience);

// The seed of this test run: from the environment variable VGPU_TEST_SEED, or random. Printed.
uint64_t TestSeed();

// An empty folder that goes with this object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void WriteFile(const std::string& path, const std::string& text);
std::string ReadFile(const std::string& path);

// Of all threads of a process, voluntary or not: how often it woke up.
uint64_t ContextSwitchesOf(pid_t pid);

struct DaemonOptions {
  std::string binary = kMediator;
  std::string socket = {};                    // "": no --socket flag
  std::vector<std::string> flags = {};        // besides --socket
  std::vector<std::string> environment = {};  // NAME=VALUE, added to this process's
  std::string log = {};                       // file for its output, which is appended
};

// Killed at the end of its life, if it still runs.
class Daemon {
 public:
  explicit Daemon(DaemonOptions options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& socket() const { return options_.socket; }
  std::string Log() const { return ReadFile(options_.log); }

  // Waits until it accepts connections. False: it ended instead.
  bool Serving();
  // Does it run? Reaps it if it has ended.
  bool Running();
  void Signal(int signal);
  // Waits for its end and returns its status as waitpid does; -1 if it does not end.
  int Join();
  // SIGKILL, and reaped: nothing of it runs any more.
  void Kill();

  // A number or a text of its status, by JSON pointer: "/loop/sleeps", "/vms/0/state". Fails the test where
  // there is none.
  uint64_t StatusNumber(const std::string& pointer);
  std::string StatusText(const std::string& pointer);
  uint64_t VmCount();

  // What the kernel says of the process.
  uint64_t CpuTicks() const;  // user and system time
  uint64_t ContextSwitches() const { return ContextSwitchesOf(pid_); }
  uint64_t ResidentKib() const;
  size_t Descriptors() const;
  size_t MappedMemfds() const;

 private:
  const DaemonOptions options_;
  pid_t pid_ = -1;
  int status_ = -1;
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_DAEMON_DAEMON_H_
