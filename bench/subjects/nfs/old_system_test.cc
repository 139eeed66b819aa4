// SPDX-License-Identifier: Apache-2.0
// The old system in a real VM: every way gets right answers, and nothing stays behind.
#include "bench/subjects/nfs/old_system.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iterator>
#include <string>
#include <thread>

#include "bench/vm/vm_process.h"

namespace vgpu::bench::nfs {
namespace {

constexpr std::chrono::seconds kPatience{60};
constexpr uint64_t kElements[] = {0, 1, 100'000};  // two numbers; vectors

class OldSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"VGPU_QEMU", "VGPU_KERNEL", "VGPU_GANESHA"}) {
      if (std::getenv(name) == nullptr) GTEST_SKIP() << name << " is not set; run tools/test";
    }
    if (geteuid() != 0) GTEST_SKIP() << "nfs-ganesha needs root";
  }
};

TEST_F(OldSystemTest, AnswersEveryWay) {
  const auto folder = GaneshaFolder();
  ASSERT_TRUE(folder) << folder.error();
  const auto system = OldSystem::Start(*folder);
  ASSERT_TRUE(system) << system.error();
  VmOptions options;
  options.device = false;
  options.net = true;
  options.modules = {"nfsv4"};
  options.copies = {"bench/subjects/nfs/nfs_client_side"};
  std::string script = (*system)->MountScript(kWays);
  for (const uint64_t elements : kElements) {
    for (const Way way : kWays) script += OldSystem::AskScript(way, {elements, 2, 0, 0, 1}) + " || exit\n";
  }
  const auto vm = VmProcess::Boot(options, script);
  ASSERT_TRUE(vm) << vm.error();
  for (size_t i = 0; i < std::size(kElements) * kWays.size(); ++i) {
    const Way way = kWays[i % kWays.size()];
    SCOPED_TRACE(kElements[i / kWays.size()]);
    const auto json = (*vm)->Json(kPatience);
    ASSERT_TRUE(json) << WayName(way) << ": " << json.error();
    EXPECT_EQ((*json)["count"], 2) << WayName(way);
    EXPECT_EQ((*json)["wrong"], 0) << WayName(way);
    const auto mount = (*json)["mount"].get<std::string>();
    EXPECT_NE(mount.find(" nfs4 "), std::string::npos) << mount;
    EXPECT_EQ(mount.find("noac") != std::string::npos, way == Way::kUncached) << mount;
    EXPECT_EQ(mount.find("lookupcache=none") != std::string::npos, way == Way::kUncached) << mount;
    const auto ns = (*json)["latency"]["p50_ns"].get<uint64_t>();
    if (way == Way::kAsItWas) {
      EXPECT_LE(ns, 3'000'000'000u) << "the host looks every second, the guest ten times as often";
    }
  }
}

TEST_F(OldSystemTest, TheServerEndsWithItsOwner) {
  const auto folder = GaneshaFolder();
  ASSERT_TRUE(folder) << folder.error();
  const TempDir exported;
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // the server becomes this process's child
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  auto owner = Fork(kServerCpu, [&] {
    const auto server = Ganesha::Start(*folder, {{exported / "", "x"}});
    const pid_t pid = server ? (*server)->pid() : 0;
    [[maybe_unused]] const ssize_t put = write(pipe[1], &pid, sizeof pid);
    pause();
  });
  ASSERT_TRUE(owner) << owner.error();
  pid_t server = 0;
  ASSERT_EQ(read(pipe[0], &server, sizeof server), static_cast<ssize_t>(sizeof server));
  ASSERT_GT(server, 0);
  owner->Kill();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  int status = 0;
  while (waitpid(server, &status, WNOHANG) == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(WIFSIGNALED(status));
}

}  // namespace
}  // namespace vgpu::bench::nfs
