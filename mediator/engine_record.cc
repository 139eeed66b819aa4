// SPDX-License-Identifier: Apache-2.0
#include "mediator/engine_record.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace vgpu::mediator {
namespace {

constexpr int kPatienceMs = 10'000;

// When a process began, in ticks since the boot: together with the pid it names a process for ever.
std::optional<uint64_t> StartOf(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string word;
  for (int field = 3; fields >> word; ++field) {
    if (field == 22) return std::stoull(word);
  }
  return std::nullopt;
}

}  // namespace

void EngineRecord::Write(const std::vector<pid_t>& engines) const {
  std::error_code error;
  if (engines.empty()) {
    std::filesystem::remove(path_, error);
    return;
  }
  const std::string fresh = path_ + ".new";
  std::ofstream file(fresh);
  for (const pid_t pid : engines) {
    if (const auto start = StartOf(pid)) file << pid << ' ' << *start << '\n';
  }
  file.close();
  if (file) std::filesystem::rename(fresh, path_, error);
  if (!file || error) spdlog::error("cannot write {}: a mediator after this one will not wait for its engines", path_);
}

ring::Result<void> EngineRecord::EndOrphans() const {
  std::ifstream file(path_);
  pid_t pid = 0;
  uint64_t start = 0;
  while (file >> pid >> start) {
    const ring::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd || StartOf(pid) != start) continue;
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    pollfd gone{pidfd.get(), POLLIN, 0};
    if (poll(&gone, 1, kPatienceMs) != 1) {
      return tl::make_unexpected(fmt::format("engine process {} of an earlier mediator does not end, and may still write "
                                             "into VMs' memory: see why (a GPU driver that hangs?), or restart the host",
                                             pid));
    }
  }
  return {};
}

}  // namespace vgpu::mediator
