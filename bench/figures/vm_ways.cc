// SPDX-License-Identifier: Apache-2.0
#include "bench/figures/vm_ways.h"

#include <fmt/format.h>

#include <utility>

namespace vgpu::bench {
namespace {

using nfs::OldSystem;

Result<std::unique_ptr<OldSystem>> StartOldSystem(uint32_t vms) {
  const auto folder = nfs::GaneshaFolder();
  if (!folder) return tl::make_unexpected(folder.error());
  return OldSystem::Start(*folder, vms);
}

VectorRun InRound(VectorRun run, uint64_t round) {
  run.seed = round + 1;
  return run;
}

}  // namespace

Result<std::unique_ptr<VmsOfAllWays>> VmsOfAllWays::Boot(uint32_t vms, const VmOptions& options,
                                                         const std::vector<nfs::Way>& ways) {
  std::unique_ptr<VmsOfAllWays> all(new VmsOfAllWays);
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  all->mediator_ = std::move(*mediator);
  auto daemon = socket::PortDaemon::Start();
  if (!daemon) return tl::make_unexpected(daemon.error());
  all->daemon_ = std::move(*daemon);
  auto system = StartOldSystem(vms);
  if (system) {
    all->system_ = std::move(*system);
  } else {
    all->no_nfs_ = system.error();
  }
  for (uint32_t vm = 1; vm <= vms; ++vm) {
    VmOptions own = options;
    own.vm_id = vm;
    own.socket = all->mediator_->socket();
    own.ports = {all->daemon_->socket()};
    own.copies = {"bench/subjects/vector_client"};
    if (all->system_ != nullptr) {
      own.net = true;
      own.modules = {"nfsv4"};
      own.copies.emplace_back("bench/subjects/nfs/nfs_client_side");
    }
    auto shell = VmShell::Boot(own, all->system_ == nullptr ? "" : all->system_->MountScript(ways, vm));
    if (!shell) return tl::make_unexpected(shell.error());
    all->shells_.push_back(std::move(*shell));
  }
  return all;
}

Turn RingTurn(uint64_t count, double seconds) {
  return {"vgpu-ring", [=](uint32_t, uint64_t) {
            return fmt::format("vgpu-client ping --count {} --seconds {} --json", count, seconds);
          }};
}

Turn WindowTurn(uint64_t count, double seconds) {
  return {"register window, polled at 50 us", [=](uint32_t, uint64_t) {
            return fmt::format("vgpu-client regs --count {} --poll-us 50 --seconds {} --json", count,
                               seconds);
          }};
}

Turn SocketTurn(const VectorRun& run) {
  return {"socket, through a virtio-serial port", [=](uint32_t, uint64_t round) {
            return "vector_client port /dev/port2 " + OptionsOf(InRound(run, round));
          }};
}

Turn NfsTurn(nfs::Way way, const VectorRun& run) {
  return {nfs::WayName(way),
          [=](uint32_t vm, uint64_t round) { return OldSystem::AskScript(way, InRound(run, round), vm); }};
}

Turn RingVectorTurn(bool in_arena, const VectorRun& run) {
  return {in_arena ? "vgpu-ring, operands in the arena" : "vgpu-ring", [=](uint32_t, uint64_t round) {
            return fmt::format("vector_client ring {}{}", in_arena ? "--in-arena " : "",
                               OptionsOf(InRound(run, round)));
          }};
}

}  // namespace vgpu::bench
