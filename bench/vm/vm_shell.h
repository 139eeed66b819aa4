// SPDX-License-Identifier: Apache-2.0
// A VM that does one command after another, as it is told, so that several VMs begin at the same moment, and
// the host has the machine for itself in between.
#ifndef VGPU_BENCH_VM_VM_SHELL_H_
#define VGPU_BENCH_VM_VM_SHELL_H_

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/unique_fd.h"
#include "bench/lib/process.h"
#include "bench/vm/vm_process.h"

namespace vgpu::bench {

class VmShell {
 public:
  // `setup`: shell commands that come first. The VM's ports are /dev/port2 and so on:
  // the first is the shell's.
  static Result<std::unique_ptr<VmShell>> Boot(VmOptions options, const std::string& setup);

  // Does not wait for anything but for QEMU's start.
  Result<void> Tell(const std::string& command);
  // The line of JSON that the next command prints. One that prints none ends the VM.
  Result<nlohmann::json> Answer(std::chrono::seconds patience) { return vm_->Json(patience); }

 private:
  VmShell() = default;

  TempDir folder_;
  base::UniqueFd listener_, commands_;
  std::unique_ptr<VmProcess> vm_;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_VM_VM_SHELL_H_
