// SPDX-License-Identifier: Apache-2.0
// With which options a folder is really mounted: a result without them proves nothing.
#ifndef VGPU_BENCH_SUBJECTS_NFS_MOUNT_H_
#define VGPU_BENCH_SUBJECTS_NFS_MOUNT_H_

#include <string>

namespace vgpu::bench::nfs {

// The line of `mounts` (as /proc/self/mounts) for the file system that the absolute path `folder` lies on; ""
// if there is none.
std::string MountOf(const std::string& folder, const std::string& mounts);

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_MOUNT_H_
