// SPDX-License-Identifier: Apache-2.0
// The processes of a measurement: pinned to a core, counted from /proc, ended with their owner.
#ifndef VGPU_BENCH_LIB_PROCESS_H_
#define VGPU_BENCH_LIB_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vgpu::bench {

template <class T>
using Result = base::Result<T>;

// For who has no result to return: throws std::runtime_error. Its error is a text, or has one.
template <class Expected>
typename Expected::value_type OrThrow(Expected result) {
  if (result) return std::move(*result);
  if constexpr (requires { result.error().text; }) {
    throw std::runtime_error(result.error().text);
  } else {
    throw std::runtime_error(result.error());
  }
}

// The side that asks and the side that answers each have a core of their own.
inline constexpr int kClientCpu = 0;
inline constexpr int kServerCpu = 1;
// For a third side: every other processor; on a machine without any, the client's.
inline constexpr int kElsewhere = -2;
// For an answering side of several threads or processes: every processor but the client's.
inline constexpr int kServers = -3;

// Binds a thread (0: the calling one), and the threads and processes that it makes later.
Result<void> PinTo(int cpu, pid_t thread = 0);

// While it lives this process, and those that it starts, have the highest priority, if that is permitted: so
// other programs of this machine disturb less.
class HighPriority {
 public:
  HighPriority();
  ~HighPriority();
  HighPriority(const HighPriority&) = delete;
  HighPriority& operator=(const HighPriority&) = delete;

  bool granted() const { return granted_; }

 private:
  std::string group_before_;  // "nice" of the session's group; empty: unknown, and left alone
  bool granted_;
};

// Absolute path of a file that this program needs ("mediator/mediator"): in its runfiles,
// or beside it in bazel-bin.
Result<std::string> Runfile(const std::string& path);

// A child process; killed at the end of its owner's life, and by the kernel if this process dies.
class Child {
 public:
  Child() = default;
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Child() { Kill(); }

  pid_t pid() const { return pid_; }
  bool running();
  void Signal(int signal) const;
  // Waits until it ends; its exit status, or 128 + the signal that ended it.
  int Wait();
  void Kill();

 private:
  friend Result<Child> Spawn(const std::vector<std::string>&, const struct SpawnOptions&);
  friend Result<Child> Fork(int cpu, const std::function<void()>& body);
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;
};

struct SpawnOptions {
  int cpu = -1;                   // -1: as this process
  std::string out = "/dev/null";  // files for stdout and stderr
  std::string err = "/dev/null";
  int out_fd = -1;                       // instead of `out`
  std::vector<std::string> environment;  // "NAME=VALUE", beside this process's own
};

// Starts a program. argv[0] is its path, or a name that PATH knows.
Result<Child> Spawn(const std::vector<std::string>& argv, const SpawnOptions& options);

// A copy of this process that runs `body` on `cpu` and ends.
Result<Child> Fork(int cpu, const std::function<void()>& body);

// What the kernel counted for all threads of a process since it began.
struct Usage {
  uint64_t cpu_ns = 0;
  uint64_t voluntary = 0;    // context switches: it went to sleep
  uint64_t involuntary = 0;  // it was preempted
};
Usage UsageOf(pid_t pid);
// Of the process and its children.
Usage UsageWithChildren(pid_t pid);
Usage operator-(const Usage& after, const Usage& before);
Usage& operator+=(Usage& sum, const Usage& more);

// A folder in `parent` (by default the system's temporary one), removed with all that is in it, also if this
// process is killed.
class TempDir {
 public:
  explicit TempDir(const std::string& parent = "");
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string ReadFile(const std::string& path);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_PROCESS_H_
