// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <thread>

#include "bench/lib/janitor.h"

namespace vgpu::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kHighest = -20;
constexpr const char* kAutogroup = "/proc/self/autogroup";

tl::unexpected<std::string> SystemError(const std::string& what) {
  return tl::make_unexpected(fmt::format("cannot {}: {}", what, std::strerror(errno)));
}

void Redirect(const std::string& file, int to) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0 || dup2(fd, to) < 0) _exit(126);
}

// In the child: ends when the parent does, even if that is killed.
void FollowParent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
}

// The number after `name` in a file of "name: number" lines.
uint64_t Field(const std::string& text, const std::string& name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

}  // namespace

Result<void> PinTo(int cpu, pid_t thread) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= 0) {
    CPU_SET(cpu, &set);
  } else if (cpu == kElsewhere && std::thread::hardware_concurrency() <= 2) {
    CPU_SET(kClientCpu, &set);
  } else {
    for (int other = 0; other < CPU_SETSIZE; ++other) {
      if (other != kClientCpu && (other != kServerCpu || cpu == kServers)) CPU_SET(other, &set);
    }
  }
  if (sched_setaffinity(thread, sizeof set, &set) == 0) return {};
  return SystemError(fmt::format("use processor {} (a measurement needs two of its own)", cpu));
}

// Where the kernel groups processes by session (sched_autogroup), a process's own priority counts only among
// its group, so the group's is raised too; it would outlive this process, in the user's shell.
HighPriority::HighPriority() {
  constexpr std::string_view kNice = "nice ";
  const std::string group = ReadFile(kAutogroup);  // "/autogroup-12 nice 0"
  if (const size_t at = group.find(kNice); at != std::string::npos) {
    group_before_ = group.substr(at + kNice.size());
    std::ofstream(kAutogroup) << kHighest;
  }
  granted_ = setpriority(PRIO_PROCESS, 0, kHighest) == 0;
}

HighPriority::~HighPriority() {
  if (!group_before_.empty()) std::ofstream(kAutogroup) << group_before_;
}

Result<std::string> Runfile(const std::string& path) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  // A program of `bazel run` is in the user's folder, a test in its own runfiles.
  std::vector<fs::path> roots = {fs::path(program_invocation_name) += ".runfiles/vgpu_ring",
                                 fs::current_path()};
  // The folders above it: one is bazel-bin.
  for (fs::path above = self; !error && above.has_relative_path();)
    roots.push_back(above = above.parent_path());
  for (const fs::path& root : roots) {
    const fs::path file = root / path;
    if (fs::is_regular_file(file, error) && access(file.c_str(), X_OK) == 0)
      return fs::absolute(file).string();
  }
  return tl::make_unexpected(fmt::format("{} is not there: run this with `bazel run`", path));
}

bool Child::running() {
  if (pid_ < 0) return false;
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

void Child::Signal(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

int Child::Wait() {
  int status = 0;
  if (pid_ < 0) return -1;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Child::Kill() {
  if (pid_ < 0) return;
  Signal(SIGKILL);
  Wait();
}

Result<Child> Spawn(const std::vector<std::string>& argv, const SpawnOptions& options) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return SystemError("start another process");
  if (pid > 0) return Child(pid);
  FollowParent(parent);
  if (options.cpu != -1 && !PinTo(options.cpu)) _exit(126);
  if (options.out_fd < 0) {
    Redirect(options.out, STDOUT_FILENO);
  } else if (dup2(options.out_fd, STDOUT_FILENO) < 0) {
    _exit(126);
  }
  Redirect(options.err, STDERR_FILENO);
  for (const std::string& variable : options.environment) putenv(const_cast<char*>(variable.c_str()));
  execvp(arguments[0], arguments.data());
  _exit(127);
}

Result<Child> Fork(int cpu, const std::function<void()>& body) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return SystemError("start another process");
  if (pid > 0) return Child(pid);
  FollowParent(parent);
  if (!PinTo(cpu)) _exit(126);
  try {
    body();
  } catch (const std::exception& error) {  // what lies above belongs to the parent
    fmt::print(stderr, "a process of the benchmark: {}\n", error.what());
    _exit(1);
  }
  _exit(0);
}

Usage UsageOf(pid_t pid) {
  Usage usage;
  std::error_code error;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    // The first number of schedstat is the time spent running, in nanoseconds.
    usage.cpu_ns += std::strtoull(ReadFile(task.path() / "schedstat").c_str(), nullptr, 10);
    const std::string status = ReadFile(task.path() / "status");
    usage.involuntary += Field(status, "nonvoluntary_ctxt_switches:");
    usage.voluntary += Field(status, "\nvoluntary_ctxt_switches:");
  }
  return usage;
}

Usage UsageWithChildren(pid_t pid) {
  Usage usage = UsageOf(pid);
  std::error_code error;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::istringstream children(ReadFile(task.path() / "children"));
    for (pid_t child; children >> child;) {
      const Usage more = UsageOf(child);
      usage.cpu_ns += more.cpu_ns;
      usage.voluntary += more.voluntary;
      usage.involuntary += more.involuntary;
    }
  }
  return usage;
}

Usage operator-(const Usage& after, const Usage& before) {
  return {after.cpu_ns - before.cpu_ns, after.voluntary - before.voluntary,
          after.involuntary - before.involuntary};
}

Usage& operator+=(Usage& sum, const Usage& more) {
  sum = {sum.cpu_ns + more.cpu_ns, sum.voluntary + more.voluntary, sum.involuntary + more.involuntary};
  return sum;
}

TempDir::TempDir(const std::string& parent) {
  const fs::path above = parent.empty() ? fs::temp_directory_path() : fs::path(parent);
  std::string pattern = (above / "vgpu-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw fs::filesystem_error("cannot make a folder", pattern, {errno, std::generic_category()});
  }
  path_ = pattern;
  RemoveAtEnd(path_);
}

TempDir::~TempDir() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace vgpu::bench
