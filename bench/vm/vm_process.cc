// SPDX-License-Identifier: Apache-2.0
#include "bench/vm/vm_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/unique_fd.h"

namespace vgpu::bench {
namespace {

using std::chrono::steady_clock;

constexpr int kPortsMax = 4;

// tools/vm has its own ports on another controller. With few ports,
// each queue has an interrupt vector for itself.
void AddPorts(const std::vector<std::string>& ports, std::vector<std::string>* argv) {
  const auto add = [&](const char* option, const std::string& value) {
    argv->push_back(fmt::format("--qemu-arg={}", option));
    argv->push_back("--qemu-arg=" + value);
  };
  add("-device",
      fmt::format("virtio-serial-pci,id=ports,max_ports={},vectors={}", kPortsMax, 2 * (kPortsMax + 2)));
  for (size_t i = 0; i < ports.size(); ++i) {
    add("-chardev", fmt::format("socket,id=port{},path={}", i + 1, ports[i]));
    add("-device", fmt::format("virtserialport,bus=ports.0,nr={0},chardev=port{0}", i + 1));
  }
}

}  // namespace

Result<std::unique_ptr<VmProcess>> VmProcess::Boot(const VmOptions& options, const std::string& script) {
  const auto vm = Runfile("tools/vm");
  if (!vm) return tl::make_unexpected(vm.error());
  std::vector<std::string> argv = {*vm};
  if (options.device) {
    argv.insert(argv.end(),
                {"--socket", options.socket, "--vm_id", std::to_string(options.vm_id), "--pool_id",
                 options.pool, "--priority", options.priority, "--entries", std::to_string(options.entries)});
  } else {
    argv.emplace_back("--no-device");
  }
  if (!options.region.empty()) argv.insert(argv.end(), {"--size", options.region, "--rings", "1"});
  argv.insert(argv.end(), {"--mem", std::to_string(options.mem_mib)});
  if (options.net) argv.emplace_back("--net");
  if (!options.ports.empty()) AddPorts(options.ports, &argv);
  for (const std::string& module : options.modules) argv.insert(argv.end(), {"--module", module});
  std::vector<std::string> copies = {"guest/vgpu-client"};
  copies.insert(copies.end(), options.copies.begin(), options.copies.end());
  for (const std::string& copy : copies) {
    const auto file = Runfile(copy);
    if (!file) return tl::make_unexpected(file.error());
    argv.insert(argv.end(), {"--copy", *file});
  }
  argv.insert(argv.end(), {"--", "sh", "-c", script});
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) != 0)
    return tl::make_unexpected(fmt::format("no pipe: {}", std::strerror(errno)));
  std::unique_ptr<VmProcess> process(new VmProcess);
  process->out_ = base::UniqueFd(pipe[0]);
  const base::UniqueFd write_end(pipe[1]);
  SpawnOptions spawn;
  spawn.cpu = options.cpu;
  spawn.out_fd = write_end.get();
  spawn.err = process->folder_ / "err";
  auto child = Spawn(argv, spawn);
  if (!child) return tl::make_unexpected(child.error());
  process->child_ = std::move(*child);
  return process;
}

uint64_t VmProcess::QemuCpuNs() {
  if (qemu_ == 0) {
    const std::string children = ReadFile(fmt::format("/proc/{0}/task/{0}/children", child_.pid()));
    qemu_ = static_cast<pid_t>(std::strtol(children.c_str(), nullptr, 10));
  }
  return qemu_ == 0 ? 0 : UsageOf(qemu_).cpu_ns;
}

Result<std::string> VmProcess::Line(std::chrono::seconds patience) {
  const auto deadline = steady_clock::now() + patience;
  for (;;) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (const auto more = Fill(deadline); !more) return tl::make_unexpected(more.error());
  }
}

Result<nlohmann::json> VmProcess::Json(std::chrono::seconds patience) {
  const auto line = Line(patience);
  if (!line) return tl::make_unexpected(line.error());
  auto json = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || json.contains("error")) {
    return tl::make_unexpected(fmt::format("the guest's program failed: {}{}", *line, LastWords()));
  }
  return json;
}

Result<void> VmProcess::Fill(steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
  pollfd watched{out_.get(), POLLIN, 0};
  if (poll(&watched, 1, static_cast<int>(std::max<int64_t>(0, left.count()))) <= 0) {
    return tl::make_unexpected("the VM said nothing in time" + LastWords());
  }
  std::array<char, 4096> bytes;
  const ssize_t got = read(out_.get(), bytes.data(), bytes.size());
  if (got <= 0) return tl::make_unexpected("the VM ended" + LastWords());
  buffer_.append(bytes.data(), static_cast<size_t>(got));
  return {};
}

std::string VmProcess::LastWords() const {
  const std::string words = ReadFile(folder_ / "err");
  return words.empty() ? "" : "; it said: " + words;
}

std::optional<std::string> NoVmBecause() {
  const auto vm = Runfile("tools/vm");
  if (!vm) return vm.error();
  const TempDir folder;
  SpawnOptions spawn;
  spawn.err = folder / "err";
  auto child = Spawn({*vm, "--no-device", "--", "true"}, spawn);
  if (!child) return child.error();
  if (child->Wait() == 0) return std::nullopt;
  std::string words = ReadFile(spawn.err);
  std::replace(words.begin(), words.end(), '\n', ' ');
  return "no VM boots here: " + words;
}

}  // namespace vgpu::bench
