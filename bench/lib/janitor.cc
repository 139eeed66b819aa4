// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/janitor.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "base/unique_fd.h"

namespace vgpu::bench {
namespace {

// Reads the folders' names until the last writer is gone.
[[noreturn]] void Serve(int names) {
  std::string text;
  std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t got = read(names, bytes.data(), bytes.size());
    if (got > 0) text.append(bytes.data(), static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  std::istringstream lines(text);
  std::error_code gone;
  for (std::string folder; std::getline(lines, folder);) std::filesystem::remove_all(folder, gone);
  _exit(0);
}

// Starts the process; returns the pipe to it.
base::UniqueFd Start() {
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0) return {};
  base::UniqueFd names(pipe[0]);
  base::UniqueFd to(pipe[1]);
  const pid_t pid = fork();
  if (pid < 0) return {};
  if (pid > 0) return to;
  setsid();  // an interrupt from the terminal is not meant for it
  for (const int ending : {SIGINT, SIGTERM, SIGHUP}) signal(ending, SIG_IGN);
  to.reset();
  Serve(names.get());
}

}  // namespace

void RemoveAtEnd(const std::string& folder) {
  static const base::UniqueFd janitor = Start();
  const std::string line = folder + '\n';
  [[maybe_unused]] const ssize_t put = write(janitor.get(), line.data(), line.size());
}

}  // namespace vgpu::bench
