// SPDX-License-Identifier: Apache-2.0
// A real VM, booted by tools/vm, whose command prints lines.
#ifndef VGPU_BENCH_VM_VM_PROCESS_H_
#define VGPU_BENCH_VM_VM_PROCESS_H_

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "bench/lib/process.h"
#include "ring/abi.h"

namespace vgpu::bench {

struct VmOptions {
  bool device = true;  // vgpu-stub, attached to the mediator at `socket`
  std::string socket;
  uint32_t vm_id = 1;
  std::string pool = "A";
  std::string priority = "medium";
  int cpu = kClientCpu;  // all of QEMU
  bool net = false;      // user networking: the host is 10.0.2.2
  uint32_t mem_mib = 256;
  uint32_t entries = VGPU_ENTRIES_DEFAULT;
  std::string region;  // its size, with one ring ("256M"); empty: the defaults of tools/vm
  // Unix sockets that listen: in the guest the ports 1, 2 and so on of a
  // virtio-serial controller, the last one.
  std::vector<std::string> ports;
  std::vector<std::string> modules;
  std::vector<std::string> copies;  // more files for /, as paths of runfiles
};

class VmProcess {
 public:
  // Boots a VM that has vgpu-client and runs `script` with its shell.
  static Result<std::unique_ptr<VmProcess>> Boot(const VmOptions& options, const std::string& script);

  // The next line that the script prints. The error has what tools/vm said.
  Result<std::string> Line(std::chrono::seconds patience);
  // The next line, which is JSON.
  Result<nlohmann::json> Json(std::chrono::seconds patience);

  // Processor time of QEMU since it began; 0 before that.
  uint64_t QemuCpuNs();

  // "; it said: " and what tools/vm said on stderr; nothing if that is nothing.
  std::string LastWords() const;

 private:
  VmProcess() = default;
  Result<void> Fill(std::chrono::steady_clock::time_point deadline);

  TempDir folder_;
  base::UniqueFd out_;
  std::string buffer_;
  Child child_;     // tools/vm
  pid_t qemu_ = 0;  // its child
};

// Why no VM can be booted here, or nothing. Boots one, which also makes tools/vm fetch
// or build what it lacks.
std::optional<std::string> NoVmBecause();

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_VM_VM_PROCESS_H_
