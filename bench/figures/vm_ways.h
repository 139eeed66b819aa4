// SPDX-License-Identifier: Apache-2.0
// VMs that can ask in every way: over ring and register window, through a port to a daemon, and, where there
// is an NFS server, through the old system's files; and what they are told for it.
#ifndef VGPU_BENCH_FIGURES_VM_WAYS_H_
#define VGPU_BENCH_FIGURES_VM_WAYS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/figures/vm_turns.h"
#include "bench/lib/process.h"
#include "bench/lib/vector_way.h"
#include "bench/subjects/nfs/old_system.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/socket/port_daemon.h"
#include "bench/vm/vm_shell.h"

namespace vgpu::bench {

class VmsOfAllWays {
 public:
  // VMs 1 to `vms`; `options`: what matters of their size and place.
  static Result<std::unique_ptr<VmsOfAllWays>> Boot(uint32_t vms, const VmOptions& options,
                                                    const std::vector<nfs::Way>& ways);

  const std::vector<std::unique_ptr<VmShell>>& shells() const { return shells_; }
  // Why there is no NFS; empty if there is.
  const std::string& no_nfs() const { return no_nfs_; }

 private:
  VmsOfAllWays() = default;

  std::unique_ptr<MediatorProcess> mediator_;
  std::unique_ptr<socket::PortDaemon> daemon_;
  std::unique_ptr<nfs::OldSystem> system_;
  std::string no_nfs_;
  std::vector<std::unique_ptr<VmShell>> shells_;
};

inline constexpr uint64_t kNfsWarmUp = 3;

// Additions of two numbers; `seconds`: stop after so long, unless 0.
Turn RingTurn(uint64_t count, double seconds);
Turn WindowTurn(uint64_t count, double seconds);
// Two numbers or vectors; the run's seed becomes another one in each round.
Turn SocketTurn(const VectorRun& run);
Turn NfsTurn(nfs::Way way, const VectorRun& run);
// Vectors only.
Turn RingVectorTurn(bool in_arena, const VectorRun& run);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_FIGURES_VM_WAYS_H_
