// SPDX-License-Identifier: Apache-2.0
// The daemon's configuration: TOML, validated,
// with a default for everything. docs/configuration.md describes it.
#ifndef VGPU_MEDIATOR_PROCESS_CONFIG_H_
#define VGPU_MEDIATOR_PROCESS_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "mediator/sched/wait_policy.h"
#include "ring/abi.h"

namespace vgpu::mediator {

enum class BackendChoice : uint8_t { kAuto, kCpu, kCuda };

// A VM that the operator knows. With any of these, others are refused,
// and the claims of VMs count for nothing.
struct VmConfig {
  uint32_t vm_id = 0;
  char pool = 'A';
  uint32_t priority = 1;
};

// A GPU, and the pools whose VMs run on it.
struct GpuChoice {
  int ordinal = 0;  // as the driver counts
  std::vector<char> pools;
};

struct GpuConfig {
  std::string driver_library = "libcuda.so.1";
  bool resident = true;        // engine = "auto"; false: "launch"
  bool spare = true;           // a second engine process, warm, for each GPU
  uint32_t timeout_ms = 1000;  // what is in flight for longer means that the engine hangs
  uint32_t idle_ms = 20;       // the resident kernel leaves after so long without a request
  // Engines end after so many seconds without a request, and come back with one; 0: never.
  uint32_t park_s = 30;
  uint32_t start_ms = 60'000;     // an engine that takes longer to start, or for a region, hangs
  uint32_t copy_from_kib = 2048;  // vectors with operands of this size and more take the copy engines
  std::vector<GpuChoice> gpus;    // empty: all, each for both pools
};

// More threads than any machine has processors for would only be refused by its limits.
inline constexpr uint32_t kWorkersMax = 256;

struct Config {
  std::string socket;  // empty: DefaultSocket()
  BackendChoice backend = BackendChoice::kAuto;
  uint32_t workers = 0;  // threads of the CPU backend; 0: one less than there are CPUs, at least one
  WaitMode wait = WaitMode::kAdaptive;
  std::string trace;  // file; empty: none
  uint64_t trace_records = 1 << 20;
  uint32_t vms_max = 256;
  uint64_t region_bytes_max = VGPU_REGION_BYTES_MAX;
  uint32_t silent_s = 30;  // a connection that is not attached and says nothing for so long is closed
  GpuConfig gpu;
  std::vector<VmConfig> vms;
};

// Reads and validates a file. Errors name file, line and reason.
base::Result<Config> LoadConfig(const std::string& path);
// The same from text; `name` stands for the file in errors.
base::Result<Config> ParseConfig(const std::string& text, const std::string& name);

base::Result<BackendChoice> ParseBackend(const std::string& name);
base::Result<WaitMode> ParseWait(const std::string& name);

// $XDG_RUNTIME_DIR/vgpu-ring/mediator.sock; without it /run/vgpu-ring/mediator.sock for root, else
// ~/.vgpu-ring/mediator.sock; the home is the password database's where HOME is not set. Empty: none of them
// is there.
std::string DefaultSocket();

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_PROCESS_CONFIG_H_
