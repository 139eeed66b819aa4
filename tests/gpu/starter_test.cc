// SPDX-License-Identifier: Apache-2.0
// Engines are started and reaped beside the rings: while a start hangs, is refused, or is cut off by the
// mediator's end, every VM is answered, and nothing is left behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/sanitized.h"
#include "tests/gpu/engines.h"
#include "tests/gpu/gpu_fixture.h"

namespace vgpu::test {
namespace {

// A folder of the controller "pids", in either version of cgroups, if we may make one.
class TasksLimit {
 public:
  TasksLimit() {
    for (const char* root : {"/sys/fs/cgroup/pids", "/sys/fs/cgroup"}) {
      const std::string folder = std::string(root) + "/vgpu-test-" + std::to_string(getpid());
      if (mkdir(folder.c_str(), 0700) != 0) continue;
      folder_ = folder;
      if (std::filesystem::exists(folder_ + "/pids.max")) return;
      rmdir(folder_.c_str());
      folder_.clear();
    }
  }
  ~TasksLimit() {
    if (!folder_.empty()) Eventually([this] { return rmdir(folder_.c_str()) == 0; });
  }
  bool possible() const { return !folder_.empty(); }
  void Take(pid_t pid) { WriteFile(folder_ + "/cgroup.procs", std::to_string(pid)); }
  void Set(const std::string& most) { WriteFile(folder_ + "/pids.max", most); }

 private:
  std::string folder_;
};

class StarterTest : public GpuTest {
 protected:
  bool NoEngines() {
    return Eventually([&] { return ChildrenOf(daemon_->pid()).empty(); });
  }
  bool Said(const std::string& text) { return daemon_->Log().find(text) != std::string::npos; }
  // From now on writing the record hangs, as on a file system that does not answer:
  // until somebody reads this pipe.
  void HangTheRecord() { ASSERT_EQ(mkfifo((folder_ / "socket.engines.new").c_str(), 0600), 0); }
  // A parked GPU is asked for; its engine is there, and the starter hangs.
  void AskForAnEngineThatHangs(Guest* guest) {
    ASSERT_TRUE(NoEngines()) << daemon_->Log();
    HangTheRecord();
    KeepAsking(guest, [&] { return !ChildrenOf(daemon_->pid()).empty(); });
  }
};

#ifndef VGPU_REAL_GPU
TEST_F(StarterTest, StartHangs_EverybodyIsAnswered_AndItGoesOnAfterwards) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest, other, late;
  const auto owner = AttachAnywhere(1, &guest);
  auto bystander = AttachAnywhere(2, &other);
  AskForAnEngineThatHangs(guest.get());
  for (int round = 0; round < 20; ++round) {
    Ask(guest.get(), 100);
    Ask(other.get(), 100);
  }
  const auto newcomer = AttachAnywhere(3, &late);
  Ask(late.get(), 100);
  other.reset();
  bystander.reset();
  EXPECT_TRUE(Eventually([&] { return daemon_->VmCount() == 2; })) << daemon_->Log();
  EXPECT_EQ(RunsOn(1), "cpu");
  EXPECT_EQ(ChildrenOf(daemon_->pid()).size(), 1u) << "nobody starts a second one meanwhile";
  const int record = open((folder_ / "socket.engines.new").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(record, 0);
  EXPECT_TRUE(Eventually([&] {
    Ask(guest.get(), 100);
    Ask(late.get(), 100);
    return OnGpu(1) && OnGpu(3);
  })) << daemon_->Log();
  close(record);
}

TEST_F(StarterTest, StoppedWhileAStartHangs_EndsAndLeavesNoEngine) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = AttachAnywhere(1, &guest);
  AskForAnEngineThatHangs(guest.get());
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->Join(), 0) << daemon_->Log();
  EXPECT_TRUE(Said("it is left to the next mediator")) << daemon_->Log();
  EXPECT_TRUE(Eventually([&] { return std::none_of(engines.begin(), engines.end(), Alive); }));
}

TEST_F(StarterTest, NoDescriptorsForAnEngine_TheCpuStandsInAndTheCauseIsNamed) {
  // Without a descriptor to spare it takes each object for one that is none.
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  Start("spare = false\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  ASSERT_EQ(engines.size(), 1u);
  const rlimit none{0, 4096};
  ASSERT_EQ(prlimit(daemon_->pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  kill(engines[0], SIGKILL);
  KeepAsking(guest.get(), [&] { return Said("no engine lives"); });
  EXPECT_TRUE(Said("GPU 0: cannot start an engine: ") && Said("Too many open files")) << daemon_->Log();
  Ask(guest.get(), 1000);
}

TEST_F(StarterTest, NoTaskForAnEngine_TheCpuStandsInAndTheCauseIsNamed) {
  TasksLimit limit;
  if (!limit.possible()) GTEST_SKIP() << "this machine does not let us make a cgroup with a limit on tasks";
  Start("spare = false\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  ASSERT_EQ(engines.size(), 1u);
  limit.Take(daemon_->pid());
  limit.Set("1");
  kill(engines[0], SIGKILL);
  KeepAsking(guest.get(), [&] { return Said("no engine lives"); });
  EXPECT_TRUE(Said("GPU 0: cannot start an engine: cannot start an engine process: ") && Said("TasksMax="))
      << daemon_->Log();
  Ask(guest.get(), 1000);
  EXPECT_EQ(RunsOn(1), "parked gpu 0");
  limit.Set("max");
  daemon_->Signal(SIGTERM);
  EXPECT_EQ(daemon_->Join(), 0);
}
#endif

// At whatever moment of the next one's start.
TEST_F(StarterTest, StoppedWhileAnEngineIsReplaced_NothingIsLeft) {
  for (int round = 0; round < 8; ++round) {
    Start();
    if (IsSkipped() || HasFatalFailure()) return;
    std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
    for (const pid_t engine : engines) kill(engine, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(round));  // what is tried
    for (const pid_t engine : ChildrenOf(daemon_->pid())) engines.push_back(engine);
    daemon_->Signal(SIGTERM);
    EXPECT_EQ(daemon_->Join(), 0) << daemon_->Log();
    EXPECT_TRUE(std::none_of(engines.begin(), engines.end(), Alive));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "socket.engines")) << ReadFile(folder_ / "socket.engines");
  }
}

TEST_F(StarterTest, EnginesKilledInWhateverState_OthersComeAndNoneIsLost) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  for (int round = 0; round < 5; ++round) {
    const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
    for (const pid_t engine : engines) kill(engine, SIGKILL);
    // Others are there, loading or ready.
    KeepAsking(guest.get(), [&] {
      const std::vector<pid_t> now = ChildrenOf(daemon_->pid());
      return !now.empty() && std::none_of(engines.begin(), engines.end(), [&](pid_t engine) {
        return std::find(now.begin(), now.end(), engine) != now.end();
      });
    });
  }
  // A spare one that dies while it loads is given up (docs/adr/0006): then there is one engine, else two.
  const auto wanted = [&] {
    return daemon_->Log().find("there will be no spare engine") == std::string::npos ? size_t{2} : size_t{1};
  };
  EXPECT_TRUE(Eventually([&] {
    Ask(guest.get(), 100);
    return OnGpu(1) && ChildrenOf(daemon_->pid()).size() == wanted();
  })) << daemon_->Log();
  std::ifstream record(folder_ / "socket.engines");
  std::string line;
  std::getline(record, line);
  std::vector<pid_t> recorded;
  for (std::string pid, begin; record >> pid >> begin;) recorded.push_back(std::stoi(pid));
  std::sort(recorded.begin(), recorded.end());
  EXPECT_EQ(recorded, ChildrenOf(daemon_->pid()));
}

}  // namespace
}  // namespace vgpu::test
