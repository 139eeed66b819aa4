// SPDX-License-Identifier: Apache-2.0
// The old system's NFS server: nfs-ganesha on 127.0.0.1, at a free port, NFSv4 only. Nothing of the kernel's
// NFS server is used, and nothing stays behind; it ends with this process, even if that is killed.
#ifndef VGPU_BENCH_SUBJECTS_NFS_GANESHA_H_
#define VGPU_BENCH_SUBJECTS_NFS_GANESHA_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/lib/process.h"

namespace vgpu::bench::nfs {

struct Export {
  std::string path;  // of the folder
  std::string name;  // what clients mount: "/name"
};

class Ganesha {
 public:
  // Returns when it serves. `folder`: see GaneshaFolder.
  static Result<std::unique_ptr<Ganesha>> Start(const std::string& folder,
                                                const std::vector<Export>& exports);

  uint16_t port() const { return port_; }
  pid_t pid() const { return child_.pid(); }

 private:
  Ganesha() = default;
  std::string Config(const std::string& folder, const std::vector<Export>& exports) const;

  TempDir own_;  // its configuration, log and state
  uint16_t port_ = 0;
  Child child_;
};

// The folder that has usr/bin/ganesha.nfsd: $VGPU_GANESHA, else tools/lib/ganesha.sh fetches it. The error
// says why there is none.
Result<std::string> GaneshaFolder();

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_GANESHA_H_
