// SPDX-License-Identifier: Apache-2.0
// The real daemon as a child process, and guests of it.
#ifndef VGPU_BENCH_SUBJECTS_OURS_MEDIATOR_PROCESS_H_
#define VGPU_BENCH_SUBJECTS_OURS_MEDIATOR_PROCESS_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/lib/process.h"
#include "guest/client.h"
#include "guest/host_transport.h"

namespace vgpu::bench {

struct MediatorOptions {
  std::string wait = "adaptive";
  int cpu = kServerCpu;
  // Only the thread that serves rings is bound there; its other threads and processes run elsewhere.
  bool spread = false;
  std::string backend = "cpu";
  std::string config;  // text of a configuration file
  std::string binary = "mediator/mediator";
  std::vector<std::string> environment;
};

// As `ps -L` shows it; empty: it is gone.
std::string ThreadName(pid_t thread);
// The mediator's thread that serves rings. In a mediator without one of that name, the first thread.
pid_t RingThreadOf(pid_t mediator);

class MediatorProcess {
 public:
  // Returns when it serves.
  static Result<std::unique_ptr<MediatorProcess>> Start(const MediatorOptions& options);

  pid_t pid() const { return child_.pid(); }
  void Signal(int signal) const { child_.Signal(signal); }
  std::string socket() const { return folder_ / "mediator.sock"; }
  // What it said so far.
  std::string log() const { return ReadFile(folder_ / "log"); }
  // `vgpuctl status --json`.
  Result<nlohmann::json> Status() const;
  // Waits until this VM runs on a GPU: its region is registered some milliseconds after its attach.
  Result<void> AwaitGpu(uint32_t vm_id) const { return AwaitRunsOn(vm_id, "gpu"); }
  // Until its status says that it runs on something that begins with `where`.
  Result<void> AwaitRunsOn(uint32_t vm_id, const std::string& where) const;

 private:
  MediatorProcess() = default;

  TempDir folder_;
  std::string vgpuctl_;
  Child child_;
};

// Attaches this process as a guest and opens ring 0.
Result<std::unique_ptr<guest::Client>> OpenGuest(const MediatorProcess& mediator,
                                                 const guest::HostOptions& options);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_OURS_MEDIATOR_PROCESS_H_
