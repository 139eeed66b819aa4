// SPDX-License-Identifier: Apache-2.0
// What a host does to the service and its engines: everything stands still for a while, the environment is
// another program's, the GPU comes late.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "base/sanitized.h"
#include "tests/gpu/engines.h"
#include "tests/gpu/gpu_fixture.h"

namespace vgpu::test {
namespace {

class HostTest : public GpuTest {};

// A freezer, a suspended host, a snapshot: longer than the time-out,
// with requests in flight that are never repeated.
TEST_F(HostTest, WholeServiceFrozen_NobodyIsToBlame) {
  constexpr uint64_t kCount = 4 << 20;
  Start("timeout_ms = 1000\n");
  if (IsSkipped()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest, 'A', 64 << 20);
  for (int round = 0; round < 2; ++round) {
    std::vector<uint32_t> asked;
    for (int i = 0; i < 4; ++i) {
      asked.push_back(guest->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, 4 * kCount, 0}));
    }
    guest->Flush();
    std::vector<pid_t> all = ChildrenOf(daemon_->pid());
    all.push_back(daemon_->pid());
    for (const pid_t pid : all) kill(pid, SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // what is tried
    for (auto pid = all.rbegin(); pid != all.rend(); ++pid) kill(*pid, SIGCONT);
    for (const uint32_t idx : asked) {
      ring::Answer answer;
      ASSERT_EQ(guest->Await(idx, &answer), Outcome::kDone);
      EXPECT_EQ(answer.code, VGPU_OK);
    }
  }
  EXPECT_EQ(daemon_->Log().find("its engine is replaced"), std::string::npos) << daemon_->Log();
}

TEST_F(HostTest, VariablesOfOtherCudaPrograms_AreKeptFromEnginesAndThatIsSaid) {
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
  Start();
  unsetenv("CUDA_LAUNCH_BLOCKING");
  unsetenv("CUDA_DEVICE_ORDER");
  if (IsSkipped()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  Ask(guest.get(), 300);
  const std::string log = daemon_->Log();
  const size_t said = log.find("engines do not get: ");  // others that this machine has may be named, too
  ASSERT_NE(said, std::string::npos) << log;
  EXPECT_NE(log.substr(said, log.find('\n', said) - said).find("CUDA_LAUNCH_BLOCKING"), std::string::npos)
      << log;
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  ASSERT_FALSE(engines.empty());
  for (const pid_t engine : engines) {
    const std::string environment = ReadFile("/proc/" + std::to_string(engine) + "/environ");
    EXPECT_EQ(environment.find("CUDA_LAUNCH_BLOCKING"), std::string::npos);
    EXPECT_NE(environment.find("CUDA_DEVICE_ORDER=PCI_BUS_ID"), std::string::npos);
  }
}

#ifndef VGPU_REAL_GPU
// With backend "auto" the driver is not there at the start, and comes while a VM is served.
TEST_F(HostTest, GpuComesLate_VmsMoveToIt) {
  const std::string driver = folder_ / "libfake_cuda.so";
  WriteFile(config_, "[gpu]\ntimeout_ms = 30000\ndriver_library = \"" + driver + "\"\n");
  daemon_ = std::make_unique<Daemon>(DaemonOptions{.binary = kGpuMediator,
                                                   .socket = folder_ / "socket",
                                                   .flags = {"--config", config_},
                                                   .log = folder_ / "log"});
  ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
  EXPECT_NE(daemon_->Log().find("no GPU, the CPU computes: no NVIDIA driver"), std::string::npos)
      << daemon_->Log();
  std::unique_ptr<Guest> guest;
  const auto owner = AttachAnywhere(1, &guest);
  Ask(guest.get(), 100);
  EXPECT_EQ(RunsOn(1), "cpu");
  EXPECT_EQ(daemon_->StatusText("/backend"), "cpu");
  std::filesystem::copy_file(FakeDriver(), driver + ".new");
  std::filesystem::rename(driver + ".new", driver);  // whole from the first moment
  KeepAsking(guest.get(), [this] { return OnGpu(1); });
  Ask(guest.get(), 100);
  EXPECT_EQ(daemon_->StatusText("/backend"), "cuda");
  EXPECT_EQ(daemon_->Log().find("its engine is replaced"), std::string::npos) << daemon_->Log();
  std::unique_ptr<Guest> later;
  const auto another = Attach(2, &later);
  Ask(later.get(), 100);
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->Join(), 0);
}

TEST_F(HostTest, FewDescriptors_TheCauseIsNamed) {
  // Without a descriptor to spare it takes each object for one that is none.
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  WriteFile(config_, "backend = \"cuda\"\n[gpu]\ndriver_library = \"" + FakeDriver() + "\"\n");
  const pid_t pid = fork();
  if (pid == 0) {
    const rlimit few{11, 11};
    setrlimit(RLIMIT_NOFILE, &few);
    dup2(open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), STDERR_FILENO);
    execl(kGpuMediator, kGpuMediator, "--socket", (folder_ / "socket").c_str(), "--config", config_.c_str(),
          nullptr);
    _exit(127);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
  EXPECT_NE(ReadFile(folder_ / "log").find("Too many open files"), std::string::npos)
      << ReadFile(folder_ / "log");
}
#endif

}  // namespace
}  // namespace vgpu::test
