// SPDX-License-Identifier: Apache-2.0
// The old system's host, and how a guest in a VM uses it: NFS server and host programs on a folder in memory,
// so that no disk is measured. The VM needs user networking, the module nfsv4 and the program
// nfs_client_side.
#ifndef VGPU_BENCH_SUBJECTS_NFS_OLD_SYSTEM_H_
#define VGPU_BENCH_SUBJECTS_NFS_OLD_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/process.h"
#include "bench/lib/vector_way.h"
#include "bench/subjects/nfs/ganesha.h"

namespace vgpu::bench::nfs {

// A setting of mount and programs.
enum class Way : uint8_t {
  kAsItWas,   // the host looks every second, the guest every 0.1 s
  kUncached,  // neither sleeps; the guest's attribute and name caching off
  kCached,    // neither sleeps; the mount's defaults: opening a file asks the server in any case
  kDirect,    // another guest program than the old one: files stay open, direct I/O
};
inline const std::vector<Way> kWays = {Way::kAsItWas, Way::kUncached, Way::kCached, Way::kDirect};
const char* WayName(Way way);

class OldSystem {
 public:
  // `folder`: of nfs-ganesha (GaneshaFolder). For VMs 1 to `vms`.
  static Result<std::unique_ptr<OldSystem>> Start(const std::string& folder, uint32_t vms = 1);

  // Shell commands for the guest: mounts these ways; ends its script if that fails.
  std::string MountScript(const std::vector<Way>& ways, uint32_t vm = 1) const;
  // A command that makes requests and prints them as a line of JSON.
  static std::string AskScript(Way way, const VectorRun& run, uint32_t vm = 1);

 private:
  OldSystem() = default;

  TempDir folder_{"/dev/shm"};
  std::unique_ptr<Ganesha> server_;
  Child slow_, prompt_;  // the host programs
};

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_OLD_SYSTEM_H_
