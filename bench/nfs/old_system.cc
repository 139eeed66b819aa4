// SPDX-License-Identifier: Apache-2.0
#include "bench/nfs/old_system.h"

#include <fmt/format.h>

#include <filesystem>

namespace vgpu::bench::nfs {
namespace {

namespace fs = std::filesystem;

// Each way has a mount and a folder of its own. The two host programs are at work on one export each.
struct Plan {
  Way way;
  const char* name;
  const char* label;
  const char* exported;
  uint32_t vm_id;
  const char* mount_options;
  const char* client_options;
};
constexpr Plan kPlans[] = {
    {Way::kAsItWas, "was", "NFS as it was (1 s, 0.1 s)", "slow", 1, "", "--poll-ms 100 --pause-max-ms 1000"},
    {Way::kUncached, "uncached", "NFS, no sleeps, caching off", "prompt", 1, ",noac,lookupcache=none",
     "--poll-ms 0 --warm-up 3"},
    {Way::kCached, "cached", "NFS, no sleeps, caching on", "prompt", 2, "", "--poll-ms 0 --warm-up 3"},
    {Way::kDirect, "direct", "NFS, files kept open, direct", "prompt", 3, "", "--poll-ms 0 --warm-up 3 --direct"},
};

const Plan& PlanOf(Way way) { return kPlans[static_cast<size_t>(way)]; }

Result<Child> StartProgram(const std::string& folder, uint32_t every_ms) {
  const auto program = Runfile("bench/nfs_server_side");
  if (!program) return tl::make_unexpected(program.error());
  SpawnOptions spawn;
  spawn.cpu = kServerCpu;
  return Spawn({*program, folder, "--every-ms", std::to_string(every_ms)}, spawn);
}

}  // namespace

const char* WayName(Way way) { return PlanOf(way).label; }

Result<std::unique_ptr<OldSystem>> OldSystem::Start(const std::string& folder) {
  std::unique_ptr<OldSystem> system(new OldSystem);
  for (const Plan& plan : kPlans) {
    fs::create_directories(system->folder_ / fmt::format("{}/vm{}", plan.exported, plan.vm_id));
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

// nosharecache: else a second mount of the same export takes over the first one's options.
std::string OldSystem::MountScript() const {
  std::string script;
  for (const Plan& plan : kPlans) {
    script += fmt::format(
        "mkdir -p /mnt/{0} && mount -t nfs4 -o vers=4.1,proto=tcp,port={1},sec=sys,addr=10.0.2.2,clientaddr=10.0.2.15,"
        "nosharecache{2} 10.0.2.2:/{3} /mnt/{0} || exit\n",
        plan.name, server_->port(), plan.mount_options, plan.exported);
  }
  return script;
}

std::string OldSystem::AskScript(Way way, uint64_t count, uint64_t seed) {
  const Plan& plan = PlanOf(way);
  return fmt::format("nfs_client_side /mnt/{}/vm{} --count {} --seed {} {}", plan.name, plan.vm_id, count, seed,
                     plan.client_options);
}

}  // namespace vgpu::bench::nfs
