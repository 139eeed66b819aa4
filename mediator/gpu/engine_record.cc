// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_record.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr char kTitle[] = "vgpu-engines-1";

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
    if (field == 22) return std::strtoull(word.c_str(), nullptr, 10);
  }
  return std::nullopt;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Pids and start times begin anew with each boot, and the record may outlive it. Empty: not known.
std::string ThisBoot() { return FirstLine("/proc/sys/kernel/random/boot_id"); }

// Is it what we start as an engine? Not by its command line: that is gone before the GPU has let go of a
// process that ends.
bool IsEngine(pid_t pid) {
  const std::string name = FirstLine(fmt::format("/proc/{}/comm", pid));
  // It names itself first thing. Before that it has the name by which it was started: /proc/self/fd/N.
  return name == "vgpu-engine" ||
         (!name.empty() && name.find_first_not_of("0123456789") == std::string::npos);
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
  file << kTitle << ' ' << ThisBoot() << '\n';
  for (const pid_t pid : engines) {
    if (const auto start = StartOf(pid)) file << pid << ' ' << *start << '\n';
  }
  file.close();
  if (file) std::filesystem::rename(fresh, path_, error);
  if (!file || error)
    spdlog::error("cannot write {}: a mediator after this one will not wait for its engines", path_);
}

base::Result<void> EngineRecord::EndOrphans() const {
  std::ifstream file(path_);
  std::string title, boot;
  if (!(file >> title)) return {};
  if (title != kTitle || !(file >> boot) || boot != ThisBoot()) {
    spdlog::info("{} is not of a mediator since this boot: none of its processes is touched", path_);
    return {};
  }
  pid_t pid = 0;
  uint64_t start = 0;
  while (file >> pid >> start) {
    const base::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd || StartOf(pid) != start || !IsEngine(pid)) continue;
    spdlog::warn("engine process {} of an earlier mediator is left: it is ended", pid);
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    pollfd gone{pidfd.get(), POLLIN, 0};
    if (poll(&gone, 1, kPatienceMs) != 1) {
      return tl::make_unexpected(
          fmt::format("engine process {} of an earlier mediator does not end, and may still write into VMs' "
                      "memory: see why (a GPU driver that hangs?), or restart the host",
                      pid));
    }
  }
  return {};
}

}  // namespace vgpu::mediator
