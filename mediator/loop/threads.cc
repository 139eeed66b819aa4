// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/threads.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/result.h"
#include "mediator/loop/thread_signals.h"

namespace vgpu::mediator {
namespace {

const char* Remedy(int error) {
  switch (error) {
    case EMFILE: return " (raise this process's limit of descriptors: LimitNOFILE=, ulimit -n)";
    case ENFILE: return " (the machine has no descriptors left: sysctl fs.file-max)";
    case EAGAIN: return " (raise the limit of tasks: TasksMax=, pids.max, ulimit -u)";
    case ENOMEM: return " (give it more memory: MemoryMax=, ulimit -v, ulimit -l)";
    case ENOSYS:
    case EOPNOTSUPP:
    case EPERM:
      return " (a sandbox refuses the call? allow it: SystemCallFilter=, the container's seccomp profile)";
    default: return "";
  }
}

}  // namespace

std::string Refused(const std::string& what, int error) {
  return fmt::format("{}: {}{}", what, std::strerror(error), Remedy(error));
}

base::Result<std::thread> StartThread(const std::string& what, std::function<void()> run) {
  const BlockedSignals blocked;
  try {
    return std::thread(std::move(run));
  } catch (const std::system_error& error) {
    return tl::make_unexpected(Refused("cannot start a thread for " + what, error.code().value()));
  }
}

}  // namespace vgpu::mediator
