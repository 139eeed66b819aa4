// SPDX-License-Identifier: Apache-2.0
#include "guest/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <chrono>
#include <cstdlib>

#include "base/unique_fd.h"

extern char** environ;

namespace vgpu::guest {
namespace {

using Clock = std::chrono::steady_clock;

pid_t Spawn(const std::vector<std::string>& argv, int out, int err) {
  std::vector<char*> pointers;
  for (const std::string& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  // What a shell in the background, or a test runner, ignores is heard here.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, pointers[0], &actions, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -1;
}

int ExitCodeOf(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

struct Pipe {
  Pipe() {
    int fds[2];
    [[maybe_unused]] const int made = pipe2(fds, O_CLOEXEC);
    assert(made == 0);
    read = base::UniqueFd(fds[0]);
    write = base::UniqueFd(fds[1]);
  }
  base::UniqueFd read;
  base::UniqueFd write;
};

// Takes in what there is; false at the end of the stream.
bool Append(int fd, std::string* to) {
  char buffer[4096];
  const ssize_t got = read(fd, buffer, sizeof(buffer));
  if (got > 0) to->append(buffer, static_cast<size_t>(got));
  return got > 0;
}

}  // namespace

std::string ProgramPath(const std::string& target) {
  const char* root = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  if (root == nullptr || workspace == nullptr) return "bazel-bin/" + target;
  return std::string(root) + "/" + workspace + "/" + target;
}

Outcome RunProgram(const std::vector<std::string>& argv, int timeout_s) {
  Outcome outcome;
  Pipe out;
  Pipe err;
  const pid_t pid = Spawn(argv, out.write.get(), err.write.get());
  if (pid < 0) return outcome;
  out.write.reset();
  err.write.reset();
  const auto deadline = Clock::now() + std::chrono::seconds(timeout_s);
  pollfd watched[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
  while (watched[0].fd >= 0 || watched[1].fd >= 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || poll(watched, 2, static_cast<int>(left)) <= 0) {
      kill(pid, SIGKILL);
      break;
    }
    if (watched[0].revents != 0 && !Append(watched[0].fd, &outcome.out)) watched[0].fd = -1;
    if (watched[1].revents != 0 && !Append(watched[1].fd, &outcome.err)) watched[1].fd = -1;
  }
  int status = 0;
  waitpid(pid, &status, 0);
  outcome.exit_code = ExitCodeOf(status);
  return outcome;
}

Background::Background(const std::vector<std::string>& argv, const std::string& log) {
  const base::UniqueFd file(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  pid_ = Spawn(argv, file.get(), file.get());
}

void Background::Signal(int number) const { kill(pid_, number); }

int Background::Join() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return ExitCodeOf(status);
}

void Background::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

bool Background::running() const { return pid_ >= 0 && waitpid(pid_, nullptr, WNOHANG) == 0; }

}  // namespace vgpu::guest
