// SPDX-License-Identifier: Apache-2.0
// When a GPU breaks, hangs, or its engine process dies: every request is answered exactly once, no VM is
// lost, and nothing is repeated while the old engine could still write.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/debug.h"
#include "api/vector.h"
#include "tests/gpu/engines.h"
#include "tests/gpu/gpu_fixture.h"

namespace vgpu::test {
namespace {

class BrokenGpuTest : public GpuTest {
 protected:
  // The engine that works; the spare one is younger.
  pid_t Engine() {
    const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
    return engines.empty() ? -1 : engines.front();
  }
  bool Ready(size_t engines) {
    return Eventually([&] { return ChildrenOf(daemon_->pid()).size() == engines; });
  }
  // One VM breaks the GPU with this operation; another one must not notice.
  void ExpectOnlyTheAggressorSuffers(uint32_t opcode) {
    std::unique_ptr<Guest> aggressor, other;
    const auto aggressors_owner = Attach(1, &aggressor);
    const auto victims_owner = Attach(2, &other);
    const pid_t broken = Engine();
    const uint32_t idx = aggressor->Stage(opcode);
    aggressor->Flush();
    KeepAsking(other.get(), [&] { return !Alive(broken); });
    ring::Answer answer;
    ASSERT_EQ(aggressor->Await(idx, &answer), Outcome::kDone) << daemon_->Log();
    EXPECT_EQ(answer.code, VGPU_ERR_INTERRUPTED);
    ASSERT_TRUE(Eventually([&] { return OnGpu(1) && OnGpu(2); })) << daemon_->Log();
    EXPECT_EQ(aggressor->Ask(aggressor->Add(1, 2)).data, 3u);
    Ask(other.get(), 100);
    EXPECT_EQ(daemon_->VmCount(), 2u);
  }
};

TEST_F(BrokenGpuTest, IllegalAddress_OnlyTheAggressorSuffers) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  ExpectOnlyTheAggressorSuffers(VGPU_OP_DEBUG_FAULT);
  EXPECT_NE(daemon_->Log().find("CUDA_ERROR_ILLEGAL_ADDRESS"), std::string::npos) << daemon_->Log();
  // The spare one, if it was ready by then.
  const std::string log = daemon_->Log();
  EXPECT_TRUE(log.find("the spare engine has taken over") != std::string::npos ||
              log.find("a new engine is ready") != std::string::npos)
      << log;
}

TEST_F(BrokenGpuTest, HungKernel_OnlyTheAggressorSuffers) {
  Start("timeout_ms = 200\n");
  if (IsSkipped() || HasFatalFailure()) return;
  ExpectOnlyTheAggressorSuffers(VGPU_OP_DEBUG_HANG);
  EXPECT_NE(daemon_->Log().find("no answer for 200 ms"), std::string::npos) << daemon_->Log();
}

TEST_F(BrokenGpuTest, NoSpare_TheCpuStandsInUntilThereIsANewEngine) {
  Start("spare = false\n");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_TRUE(Ready(1));
  ExpectOnlyTheAggressorSuffers(VGPU_OP_DEBUG_FAULT);
}

TEST_F(BrokenGpuTest, EnginesKilledAgainAndAgain_EveryAnswerIsRight) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  std::vector<pid_t> killed;
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(Eventually([&] { return OnGpu(1) && Engine() > 0; })) << daemon_->Log();
    const pid_t engine = Engine();
    std::vector<uint32_t> asked;
    while (!guest->producer().full()) asked.push_back(guest->Add(static_cast<int32_t>(asked.size()), round));
    guest->Flush();
    kill(engine, SIGKILL);
    for (uint32_t i = 0; i < asked.size(); ++i) {
      const ring::Answer answer = guest->Ask(asked[i]);
      ASSERT_EQ(answer.code, VGPU_OK);
      ASSERT_EQ(answer.data, i + static_cast<uint32_t>(round));
    }
    ASSERT_TRUE(Eventually([&] { return !Alive(engine); }));
  }
}

// A vector that changes its own operand cannot be repeated; one that does not can.
TEST_F(BrokenGpuTest, EngineKilledInAVector_RepeatedOnlyIfHarmless) {
  Start("timeout_ms = 60000\nstart_ms = 120000\nspare = false\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> blocker, guest;
  const auto blocks = Attach(1, &blocker);
  const auto owner = Attach(2, &guest, 'A', 4 << 20, 2);
  Guest second(owner.get(), 1);
  second.Open();
  constexpr uint64_t kCount = 10'000;
  constexpr uint64_t kBytes = kCount * 4;
  for (const uint32_t q : {0u, 1u}) {
    int32_t* a = reinterpret_cast<int32_t*>(owner->arena(q));
    for (uint64_t i = 0; i < 2 * kCount; ++i) a[i] = static_cast<int32_t>(i);
  }
  // All streams of this class wait behind kernels that never end.
  std::vector<uint32_t> hung;
  for (int i = 0; i < 4; ++i) hung.push_back(blocker->Stage(VGPU_OP_DEBUG_HANG));
  blocker->Flush();
  const uint64_t before = GpuPieces(2);
  const uint32_t apart = guest->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, kBytes, 2 * kBytes});
  const uint32_t in_place = second.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, kBytes, 0});
  guest->Flush();
  second.Flush();
  ASSERT_TRUE(Eventually([&] { return GpuPieces(2) == before + 2; })) << daemon_->Log();
  kill(Engine(), SIGKILL);
  EXPECT_EQ(guest->Ask(apart).code, VGPU_OK);
  const int32_t* c = reinterpret_cast<int32_t*>(owner->arena(0) + 2 * kBytes);
  for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(c[i], static_cast<int32_t>(2 * i + kCount));
  const uint32_t code = second.Ask(in_place).code;
  // One of the lanes may have been free: then it was done, and answered, before.
  EXPECT_TRUE(code == VGPU_ERR_INTERRUPTED || code == VGPU_OK) << code;
}

// One VM's memory hangs the driver: after two engines it is left out, also when it comes back, and everybody
// else has the GPU.
TEST_F(BrokenGpuTest, DriverHangsAtAVmsMemory_ThatVmStaysOnTheCpu) {
  Start("start_ms = 1000\ntimeout_ms = 500\n", {"FAKE_CUDA_HANG_FROM_KIB=8192"});
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest, other;
  const auto victims_owner = Attach(1, &other);
  auto owner = AttachAnywhere(2, &guest, 'A', 8 << 20);
  const auto said = [&](const char* text) { return daemon_->Log().find(text) != std::string::npos; };
  KeepAsking(other.get(),
             [&] { return said("VM 2 stays on the CPU: 2 engines ended while they registered its memory"); });
  EXPECT_TRUE(said("the driver hangs: to register a VM's memory takes more than 1000 ms")) << daemon_->Log();
  owner->Hangup();
  owner = AttachAnywhere(2, &guest, 'A', 8 << 20);
  EXPECT_TRUE(said("VM 2 stays on the CPU: engines ended while they registered its memory before"))
      << daemon_->Log();
  // Longer than two engines would take to hang.
  ASSERT_TRUE(Eventually([&] { return OnGpu(1) && ChildrenOf(daemon_->pid()).size() == 2; }))
      << daemon_->Log();
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  const auto until = Clock::now() + std::chrono::seconds(3);
  KeepAsking(other.get(), [&] { return Clock::now() > until; });
  Ask(guest.get(), 100);
  EXPECT_EQ(ChildrenOf(daemon_->pid()), engines) << daemon_->Log();
  EXPECT_EQ(RunsOn(1), "gpu 0");
  EXPECT_EQ(RunsOn(2), "cpu");
}

// Engines that somebody kills are no VM's fault, whatever they were doing.
TEST_F(BrokenGpuTest, EnginesKilledWhileTheyRegister_NobodyIsBlamed) {
  Start("start_ms = 60000\nspare = false\n", {"FAKE_CUDA_HANG_FROM_KIB=8192"});
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = AttachAnywhere(1, &guest, 'A', 8 << 20);
  for (int times = 0; times < 3; ++times) {
    ASSERT_TRUE(Eventually([&] { return ChildrenOf(daemon_->pid()).size() == 1; })) << daemon_->Log();
    const pid_t engine = Engine();
    // The mediator has heard of it when the next one is there.
    kill(engine, SIGKILL);
    ASSERT_TRUE(Eventually([&] { return !Alive(engine) && Engine() > 0 && Engine() != engine; }))
        << daemon_->Log();
  }
  EXPECT_EQ(daemon_->Log().find("stays on the CPU"), std::string::npos) << daemon_->Log();
}

TEST_F(BrokenGpuTest, DriverHangsAtTheStart_TheMediatorSaysSo) {
#ifdef VGPU_REAL_GPU
  GTEST_SKIP() << "this needs the fake driver";
#endif
  WriteFile(config_, "backend = \"cuda\"\n[gpu]\nstart_ms = 1000\ntimeout_ms = 500\ndriver_library = \"" +
                         FakeDriver() + "\"\n");
  Daemon daemon({.binary = kGpuMediator,
                 .socket = folder_ / "socket",
                 .flags = {"--config", config_},
                 .environment = {"FAKE_CUDA_HANG_FROM_KIB=1"},
                 .log = folder_ / "log"});
  EXPECT_FALSE(daemon.Serving());
  EXPECT_NE(daemon.Log().find("the driver hangs: to start takes more than 1000 ms (gpu.start_ms)"),
            std::string::npos)
      << daemon.Log();
}

// An engine that was killed and is not gone yet may still write. Until it is reaped its requests have no
// answer, and are not repeated; those that come later are served.
TEST_F(BrokenGpuTest, DyingEngine_NothingOfItIsRepeatedBeforeItIsGone) {
  Start("timeout_ms = 200\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest, other;
  const auto owner = Attach(1, &guest);
  const auto bystander = Attach(2, &other);
  const pid_t engine = Engine();
  // A tracer keeps the dead one at the door: after SIGKILL, with its memory still there.
  if (ptrace(PTRACE_SEIZE, engine, 0, PTRACE_O_TRACEEXIT) != 0)
    GTEST_SKIP() << "this machine does not permit tracing";
  const uint32_t hung = guest->Stage(VGPU_OP_DEBUG_HANG);
  guest->Flush();
  int status = 0;  // the mediator kills it
  ASSERT_EQ(waitpid(engine, &status, __WALL), engine);
  ASSERT_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
  Ask(other.get(), 200);
  EXPECT_FALSE(guest->producer().Answered(hung)) << "answered while its engine could still write";
  ptrace(PTRACE_CONT, engine, 0, 0);
  ASSERT_EQ(waitpid(engine, &status, __WALL), engine);
  ring::Answer answer;
  ASSERT_EQ(guest->Await(hung, &answer), Outcome::kDone);
  EXPECT_EQ(answer.code, VGPU_ERR_INTERRUPTED);
}

TEST_F(BrokenGpuTest, MediatorKilled_ItsEnginesGoAndTheNextOneAnswers) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  ASSERT_FALSE(engines.empty());
  std::vector<uint32_t> asked;
  while (!guest->producer().full()) asked.push_back(guest->Add(static_cast<int32_t>(asked.size()), 5));
  guest->Flush();
  daemon_->Kill();
  ASSERT_TRUE(Eventually([&] { return std::none_of(engines.begin(), engines.end(), Alive); }));
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_TRUE(owner->Attach(daemon_->socket())) << daemon_->Log();
  for (uint32_t i = 0; i < asked.size(); ++i) {
    const ring::Answer answer = guest->Ask(asked[i]);
    ASSERT_EQ(answer.code, VGPU_OK);
    ASSERT_EQ(answer.data, i + 5);
  }
}

// It fails, and takes nothing away that the first one's successor needs.
TEST_F(BrokenGpuTest, SecondMediatorByMistake_TheRecordStays) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::string record;
  ASSERT_TRUE(Eventually([&] {  // both engines are in it
    record = ReadFile(folder_ / "socket.engines");
    return std::count(record.begin(), record.end(), '\n') == 3;
  })) << record;
  const auto first = std::move(daemon_);
  daemon_ = std::make_unique<Daemon>(DaemonOptions{.binary = kGpuMediator,
                                                   .socket = folder_ / "socket",
                                                   .flags = {"--config", config_},
                                                   .log = folder_ / "second log"});
  const int status = daemon_->Join();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
  EXPECT_NE(daemon_->Log().find("another mediator serves"), std::string::npos) << daemon_->Log();
  EXPECT_EQ(ReadFile(folder_ / "socket.engines"), record);
}

#ifndef VGPU_REAL_GPU  // its driver pins what it has registered
uint64_t BlocksOf(int fd) {
  struct stat info {};
  EXPECT_EQ(fstat(fd, &info), 0);
  return static_cast<uint64_t>(info.st_blocks);
}

bool Punch(int fd, uint64_t off) {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(off / 4096 * 4096),
                   4096) == 0;
}

// The engine pays for no page that a VM gives up, computes nothing from it, and serves the others as before.
TEST_F(BrokenGpuTest, HoleInARegisteredRegion_ItsRequestIsRefusedAndItIsFenced) {
  constexpr uint64_t kCount = 65536;
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest, other;
  const auto owner = Attach(1, &guest);
  const auto bystander = Attach(2, &other);
  const std::vector<pid_t> engines = ChildrenOf(daemon_->pid());
  const int region = owner->AttachFds()[3];
  ASSERT_TRUE(Punch(region, static_cast<uint64_t>(owner->arena(0) - owner->region()) + 65536));
  const uint64_t blocks = BlocksOf(region);
  const uint64_t before = GpuPieces(1);
  const ring::Answer answer =
      guest->Ask(guest->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, 4 * kCount, 8 * kCount}));
  EXPECT_EQ(answer.code, VGPU_ERR_FENCED) << "computed from pages that are gone";
  EXPECT_EQ(BlocksOf(region), blocks) << "somebody has paid for a page of the VM's";
  EXPECT_GT(GpuPieces(1), before) << "this was to be about the engine";
  EXPECT_TRUE(Eventually([&] { return daemon_->StatusText(Vm(1) + "/state") == "fenced"; }))
      << daemon_->Log();
  const uint64_t served = GpuPieces(2);
  Ask(other.get(), 1000);
  EXPECT_GT(GpuPieces(2), served);
  EXPECT_EQ(ChildrenOf(daemon_->pid()), engines) << daemon_->Log();
}

TEST_F(BrokenGpuTest, HoleBeforeAnEngineComes_TheGpuDoesNotGetThatMemory) {
  Start("park_s = 1\n");
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_TRUE(Ready(0)) << daemon_->Log();
  std::unique_ptr<Guest> guest, other;
  const auto owner = AttachAnywhere(1, &guest);
  const auto bystander = AttachAnywhere(2, &other);
  const int region = owner->AttachFds()[3];
  ASSERT_TRUE(Punch(region, static_cast<uint64_t>(owner->arena(0) - owner->region()) + 65536));
  const uint64_t blocks = BlocksOf(region);
  KeepAsking(other.get(), [&] {
    return OnGpu(2) && daemon_->Log().find(
                           "VM 1 stays on the CPU: the GPU cannot use its memory: pages of it are gone") !=
                           std::string::npos;
  });
  // Whether the mediator has seen the hole meanwhile, and fenced it, is chance.
  EXPECT_EQ(BlocksOf(region), blocks);
}
#endif

// What an earlier mediator's record says is true only of the very same process.
TEST_F(BrokenGpuTest, OrphansOfARecord_AreGoneBeforeAnythingIsServed) {
  const auto start_of = [](pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string word;
    for (int i = 0; i < 22; ++i) file >> word;
    return word;
  };
  const auto sleeper = [] {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      prctl(PR_SET_NAME, "vgpu-engine");
      pause();
      _exit(0);
    }
    return pid;
  };
  const pid_t orphan = sleeper(), reused = sleeper();
  const auto named = [](pid_t pid) {
    return ReadFile("/proc/" + std::to_string(pid) + "/comm") == "vgpu-engine\n";
  };
  ASSERT_TRUE(Eventually([&] { return named(orphan) && named(reused); }));
  WriteFile(folder_ / "socket.engines", "vgpu-engines-1 " + ReadFile("/proc/sys/kernel/random/boot_id") +
                                            std::to_string(orphan) + " " + start_of(orphan) + "\n" +
                                            std::to_string(reused) + " 1\n");
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  int status = 0;
  ASSERT_EQ(waitpid(orphan, &status, WNOHANG), orphan) << "it was not gone when the mediator served";
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(Alive(reused));
  kill(reused, SIGKILL);
  waitpid(reused, nullptr, 0);
}

}  // namespace
}  // namespace vgpu::test
