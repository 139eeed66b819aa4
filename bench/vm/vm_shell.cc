// SPDX-License-Identifier: Apache-2.0
#include "bench/vm/vm_shell.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "base/unique_fd.h"
#include "bench/lib/listener.h"

namespace vgpu::bench {
namespace {

constexpr int kStartMaxMs = 60'000;  // until QEMU connects

std::string ScriptOf(const VmOptions& options, const std::string& setup) {
  return fmt::format(
      "until [ -c /dev/vport[1-9]p{} ]; do usleep 1000; done\n"
      "for port in /dev/vport[1-9]p*; do ln -s $port /dev/port${{port##*p}}; done\n"
      "{}exec 4</dev/port1\n"
      "while read -r command <&4; do eval \"$command\" || exit; done\n",
      options.ports.size(), setup);
}

}  // namespace

Result<std::unique_ptr<VmShell>> VmShell::Boot(VmOptions options, const std::string& setup) {
  std::unique_ptr<VmShell> shell(new VmShell);
  const std::string socket = shell->folder_ / "commands";
  auto listener = Listen(socket);
  if (!listener) return tl::make_unexpected(listener.error());
  shell->listener_ = std::move(*listener);
  options.ports.insert(options.ports.begin(), socket);
  auto vm = VmProcess::Boot(options, ScriptOf(options, setup));
  if (!vm) return tl::make_unexpected(vm.error());
  shell->vm_ = std::move(*vm);
  return shell;
}

Result<void> VmShell::Tell(const std::string& command) {
  if (!commands_) {
    pollfd watched{listener_.get(), POLLIN, 0};
    if (poll(&watched, 1, kStartMaxMs) == 1) {
      commands_ = base::UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
    if (!commands_) return tl::make_unexpected("QEMU does not start" + vm_->LastWords());
  }
  const std::string line = command + "\n";
  if (send(commands_.get(), line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size()))
    return {};
  return tl::make_unexpected("the VM ended" + vm_->LastWords());
}

}  // namespace vgpu::bench
