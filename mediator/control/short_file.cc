// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/short_file.h"

#include <linux/magic.h>
#include <sys/vfs.h>

namespace vgpu::mediator {
namespace {

constexpr decltype(statfs::f_bsize) kHugePageBytes = 2 << 20;

bool HasHugePages(int fd) {
  struct statfs info;
  return fstatfs(fd, &info) == 0 && info.f_type == HUGETLBFS_MAGIC && info.f_bsize == kHugePageBytes;
}

}  // namespace

bool IsShortFile(int fd, uint64_t bytes) {
  return bytes <= kShortFileBytes || (bytes <= kShortHugeFileBytes && HasHugePages(fd));
}

}  // namespace vgpu::mediator
