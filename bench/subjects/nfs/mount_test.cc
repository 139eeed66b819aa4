// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/mount.h"

#include <gtest/gtest.h>

#include <string>

namespace vgpu::bench::nfs {
namespace {

constexpr const char* kMounts =
    "rootfs / rootfs rw 0 0\n"
    "h:/a /mnt/a nfs4 rw,noac 0 0\n"
    "h:/b /mnt/ab nfs4 rw 0 0\n";

TEST(MountOf, TakesTheInnermost) {
  EXPECT_EQ(MountOf("/mnt/a/vm1", kMounts), "h:/a /mnt/a nfs4 rw,noac 0 0");
  EXPECT_EQ(MountOf("/mnt/a", kMounts), "h:/a /mnt/a nfs4 rw,noac 0 0");
  EXPECT_EQ(MountOf("/mnt/ab/vm1", kMounts), "h:/b /mnt/ab nfs4 rw 0 0");
  EXPECT_EQ(MountOf("/mnt/abc", kMounts), "rootfs / rootfs rw 0 0");
  EXPECT_EQ(MountOf("/mnt", ""), "");
}

TEST(MountOf, TakesTheLatest) {
  EXPECT_EQ(MountOf("/mnt/a/vm1", std::string(kMounts) + "h:/c /mnt/a nfs4 ro 0 0\n"),
            "h:/c /mnt/a nfs4 ro 0 0");
}

}  // namespace
}  // namespace vgpu::bench::nfs
