// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/old_system.h"

#include <fmt/format.h>

#include <filesystem>

namespace vgpu::bench::nfs {
namespace {

namespace fs = std::filesystem;

// Each way has a mount of its own, and for each VM a folder of its own: vm<id of the VM + offset>. The two
// host programs are at work on one export each.
struct Plan {
  Way way;
  const char* name;
  const char* label;
  const char* exported;
  uint32_t offset;
  const char* mount_options;
  const char* client_options;
};
constexpr Plan kPlans[] = {
    {Way::kAsItWas, "was", "NFS as it was (1 s, 0.1 s)", "slow", 0, "", "--poll-ms 100 --pause-max-ms 1000"},
    {Way::kUncached, "uncached", "NFS, no sleeps, caching off", "prompt", 100, ",noac,lookupcache=none",
     "--poll-ms 0"},
    {Way::kCached, "cached", "NFS, no sleeps, caching on", "prompt", 200, "", "--poll-ms 0"},
    {Way::kDirect, "direct", "NFS, files kept open, direct", "prompt", 0, "", "--poll-ms 0 --direct"},
};

std::string FolderOf(const Plan& plan, const char* parent, uint32_t vm) {
  return fmt::format("{}/vm{}", parent, vm + plan.offset);
}

const Plan& PlanOf(Way way) { return kPlans[static_cast<size_t>(way)]; }

Result<Child> StartProgram(const std::string& folder, uint32_t every_ms) {
  const auto program = Runfile("bench/subjects/nfs/nfs_server_side");
  if (!program) return tl::make_unexpected(program.error());
  SpawnOptions spawn;
  spawn.cpu = kServers;
  return Spawn({*program, folder, "--every-ms", std::to_string(every_ms)}, spawn);
}

}  // namespace

const char* WayName(Way way) { return PlanOf(way).label; }

Result<std::unique_ptr<OldSystem>> OldSystem::Start(const std::string& folder, uint32_t vms) {
  std::unique_ptr<OldSystem> system(new OldSystem);
  for (const Plan& plan : kPlans) {
    for (uint32_t vm = 1; vm <= vms; ++vm)
      fs::create_directories(system->folder_ / FolderOf(plan, plan.exported, vm));
  }
  const std::string slow = system->folder_ / "slow";
  const std::string prompt = system->folder_ / "prompt";
  auto server = Ganesha::Start(folder, {{slow, "slow"}, {prompt, "prompt"}});
  if (!server) return tl::make_unexpected(server.error());
  system->server_ = std::move(*server);
  auto slow_program = StartProgram(slow, 1000);
  auto prompt_program = StartProgram(prompt, 0);
  if (!slow_program) return tl::make_unexpected(slow_program.error());
  if (!prompt_program) return tl::make_unexpected(prompt_program.error());
  system->slow_ = std::move(*slow_program);
  system->prompt_ = std::move(*prompt_program);
  return system;
}

// nosharecache: else a second mount of the same export takes over the first one's options. hostname: a client
// is known by it; a server takes several of one name for one that has restarted,
// and forgets what it had open.
std::string OldSystem::MountScript(const std::vector<Way>& ways, uint32_t vm) const {
  std::string script = fmt::format("hostname vm{}\n", vm);
  for (const Way way : ways) {
    const Plan& plan = PlanOf(way);
    script += fmt::format(
        "mkdir -p /mnt/{0} && mount -t nfs4 -o "
        "vers=4.1,proto=tcp,port={1},sec=sys,addr=10.0.2.2,clientaddr=10.0.2.15,nosharecache{2} "
        "10.0.2.2:/{3} /mnt/{0} || exit\n",
        plan.name, server_->port(), plan.mount_options, plan.exported);
  }
  return script;
}

std::string OldSystem::AskScript(Way way, const VectorRun& run, uint32_t vm) {
  const Plan& plan = PlanOf(way);
  return fmt::format("nfs_client_side /mnt/{} {} {}", FolderOf(plan, plan.name, vm), plan.client_options,
                     OptionsOf(run));
}

}  // namespace vgpu::bench::nfs
