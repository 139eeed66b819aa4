// SPDX-License-Identifier: Apache-2.0
// A worker process of its own, on the driver that computes on the CPU: what it is told, what it refuses, how
// it ends.
#include "mediator/gpu/engine_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "api/codes.h"
#include "base/channel.h"
#include "base/mapping.h"
#include "base/unique_fd.h"
#include "engine/engine_abi.h"
#include "engine/messages.h"
#include "engine/options.h"
#include "gpu/batch_abi.h"
#include "mediator/gpu/engine_handle.h"
#include "mediator/loop/event_loop.h"
#include "mediator/loop/eventfd.h"
#include "mediator/loop/uring_loop.h"
#include "operations/table.h"
#include "ring/abi.h"
#include "ring/memory.h"
#include "ring/producer.h"
#include "ring/region.h"
#include "ring/ring_ref.h"

namespace vgpu::mediator {
namespace {

using Clock = std::chrono::steady_clock;
using Memory = ring::RealMemory;

constexpr char kReleaseWorker[] = "engine/vgpu-worker_release_fake_gpu";
constexpr char kTestWorker[] = "engine/vgpu-worker_fake_gpu";
// How long something may take that takes milliseconds on an idle machine.
constexpr std::chrono::seconds kPatience{60};
// As many as there are lanes for jobs of one class (engine/lanes.h).
constexpr int kLanes = 4;
constexpr uint32_t kVectors = VGPU_JOB_VECTORS;
constexpr uint32_t kUnknown = VGPU_JOB_VECTORS + operations::Vectors::kNumbers;

std::string FakeDriver() {
  char* path = realpath("gpu/fake/libfake_cuda.so", nullptr);
  const std::string text = path != nullptr ? path : "";
  std::free(path);
  return text;
}

cpu_set_t AllCpus() {
  cpu_set_t cpus{};
  EXPECT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  return cpus;
}

// Notes what it hears.
struct Owner final : EngineOwner {
  void OnEngineReady(EngineHandle*) override {}
  void OnRegistered(EngineHandle*, uint32_t, const std::string& error) override {
    registered = true;
    register_error = error;
  }
  void OnUnregistered(EngineHandle*, uint32_t) override { registered = false; }
  void OnEngineIdle(EngineHandle*) override {}
  void OnEngineFailed(EngineHandle*, const std::string& reason) override { failure = reason; }
  void OnEngineGone(EngineHandle*) override { gone = true; }

  bool registered = false;
  bool gone = false;
  std::string register_error;
  std::string failure;
};

class EngineProcessTest : public testing::Test {
 protected:
  ~EngineProcessTest() override {
    if (engine_ != nullptr) engine_->Unwatch();
  }

  // Returns when the engine is ready and has a region, number 0.
  void Start(const char* worker) {
    const base::UniqueFd program(open(worker, O_PATH | O_CLOEXEC));
    ASSERT_TRUE(program) << worker;
    engine::EngineOptions options;
    options.driver_library = FakeDriver();
    options.resident = false;
    auto engine = EngineProcess::Start(program.get(), options, AllCpus());
    ASSERT_TRUE(engine) << engine.error();
    engine_ = std::move(*engine);
    const auto ready = engine_->AwaitReady(kPatience);
    ASSERT_TRUE(ready) << ready.error();
    auto loop = MakeUringLoop(4);
    ASSERT_TRUE(loop) << loop.error();
    loop_ = std::move(*loop);
    ASSERT_TRUE(engine_->Watch(loop_.get(), &owner_));
    jobs_ = std::make_unique<ring::Producer<Memory>>(Jobs(), engine::kJobEpoch);
    Register();
  }
  void Register() {
    vgpu_layout layout{};
    ASSERT_EQ(vgpu_layout_make(1 << 20, 1, 64, &layout), 0);
    auto region = ring::MakeOwnedRegion(layout);
    ASSERT_TRUE(region) << region.error();
    region_ = std::move(*region);
    const auto present = base::Populate(region_.mapping);
    ASSERT_TRUE(present) << present.error();
    engine_->Register(0, layout, {region_.fd.get(), region_.rings_fd.get()});
    ASSERT_TRUE(Await([this] { return owner_.registered; }));
    ASSERT_EQ(owner_.register_error, "");
  }

  // Runs the loop until the condition is true; false: it does not become true.
  bool Await(const std::function<bool()>& condition) {
    const auto deadline = Clock::now() + kPatience;
    while (!condition()) {
      if (Clock::now() > deadline) return false;
      loop_->Sleep(1'000'000);
    }
    return true;
  }

  ring::RingRef<Memory> Jobs() const { return ring::RingAt(engine_->area()->jobs, engine::kJobEntries); }
  // Gives the engine a job of the lowest class, by default in region 0 and of no elements; returns its index.
  uint32_t Submit(uint32_t kind, const std::array<uint64_t, engine::kJobArgs>& args = {}) {
    const uint32_t idx = jobs_->Stage(kind, 0, args.data(), engine::kJobArgs);
    if (jobs_->Publish()) SignalEventfd(engine_->kick_fd());
    return idx;
  }
  // Waits for the code of a job's answer.
  uint32_t CodeOf(uint32_t idx) {
    ring::Answer answer{~0u, 0};
    EXPECT_TRUE(Await([&] { return jobs_->Take(idx, &answer); }));
    return answer.code;
  }
  // Waits until it has taken all jobs: it asks to be woken for the next one.
  bool AllTaken() {
    const uint64_t asks = vgpu_word(jobs_->prod(), engine::kJobEpoch);
    return Await([&] { return Memory::LoadAcquire(Jobs().kick_event) == asks; });
  }

  Owner owner_;
  std::unique_ptr<EventLoop> loop_;
  ring::OwnedRegion region_;
  std::unique_ptr<EngineProcess> engine_;
  std::unique_ptr<ring::Producer<Memory>> jobs_;
};

TEST_F(EngineProcessTest, JobOfNoElements_IsAnswered) {
  Start(kReleaseWorker);
  if (HasFatalFailure()) return;
  EXPECT_EQ(CodeOf(Submit(kVectors)), VGPU_OK);
}

// Each number of the table, and none beside them: without an answer the mediator would take the engine for
// hung, with all its VMs.
TEST_F(EngineProcessTest, EveryKind_IsAnswered) {
  Start(kReleaseWorker);
  if (HasFatalFailure()) return;
  for (uint32_t kind = kVectors; kind < kUnknown + 2; ++kind) {
    const bool known = operations::Vectors::BytesOf(kind - kVectors) != 0;
    EXPECT_EQ(CodeOf(Submit(kind)), known ? VGPU_OK : VGPU_ERR_UNSUPPORTED) << kind;
  }
  EXPECT_EQ(CodeOf(Submit(0xffff)), VGPU_ERR_UNSUPPORTED);
  EXPECT_FALSE(owner_.gone);
}

// More than there are places in the job ring: each is free again when its job has been refused.
TEST_F(EngineProcessTest, PlacesThatAreNotThere_AreRefused) {
  Start(kReleaseWorker);
  if (HasFatalFailure()) return;
  const uint64_t beyond = region_.mapping.bytes();
  const uint64_t no_region = vgpu_word(0, 1);
  for (uint32_t lap = 0; lap < engine::kJobEntries; ++lap) {
    EXPECT_EQ(CodeOf(Submit(kVectors, {0, 1, beyond, 0, 0})), VGPU_ERR_INVALID_REQUEST);
    EXPECT_EQ(CodeOf(Submit(kVectors, {0, 1, 0, 0, 1})), VGPU_ERR_INVALID_REQUEST);
    EXPECT_EQ(CodeOf(Submit(kVectors, {0, beyond, 0, 0, 0})), VGPU_ERR_INVALID_REQUEST);
    EXPECT_EQ(CodeOf(Submit(kVectors, {no_region, 0, 0, 0, 0})), VGPU_ERR_INVALID_REQUEST);
    EXPECT_EQ(CodeOf(Submit(VGPU_JOB_ADD, {0, 0, beyond, 0, 0})), VGPU_ERR_INVALID_REQUEST);
    EXPECT_EQ(CodeOf(Submit(VGPU_JOB_ADD, {no_region, 0, 0, 0, 0})), VGPU_ERR_INVALID_REQUEST);
  }
  EXPECT_EQ(CodeOf(Submit(kVectors)), VGPU_OK);
  EXPECT_EQ(owner_.failure, "");
}

// What breaks a GPU is to a worker that ships like any kind that it does not know.
TEST_F(EngineProcessTest, ReleaseWorker_RefusesWhatBreaksAGpu) {
  Start(kReleaseWorker);
  if (HasFatalFailure()) return;
  for (const uint32_t kind : {VGPU_JOB_FAULT, VGPU_JOB_HANG}) {
    for (int lane = 0; lane < kLanes; ++lane) EXPECT_EQ(CodeOf(Submit(kind)), VGPU_ERR_UNSUPPORTED) << kind;
    // Every lane still works.
    for (int lane = 0; lane < kLanes; ++lane) ASSERT_EQ(CodeOf(Submit(kVectors)), VGPU_OK) << kind;
  }
  EXPECT_FALSE(owner_.gone);
  EXPECT_EQ(owner_.failure, "");
}

// The same jobs, where they are compiled in: or the test above would prove nothing.
TEST_F(EngineProcessTest, TestWorker_BreaksItsGpuWhenItIsTold) {
  Start(kTestWorker);
  if (HasFatalFailure()) return;
  for (int lane = 0; lane < kLanes; ++lane) {
    Submit(VGPU_JOB_HANG);
    ASSERT_TRUE(AllTaken());
  }
  const uint32_t behind = Submit(kVectors);
  ASSERT_TRUE(AllTaken());
  EXPECT_FALSE(jobs_->Answered(behind));
}

TEST_F(EngineProcessTest, Fault_EndsTheTestWorkerWithTheReason) {
  Start(kTestWorker);
  if (HasFatalFailure()) return;
  Submit(VGPU_JOB_FAULT);
  EXPECT_TRUE(Await([this] { return owner_.gone; }));
  EXPECT_NE(owner_.failure.find("CUDA_ERROR_ILLEGAL_ADDRESS"), std::string::npos) << owner_.failure;
}

TEST(EngineStartTest, FileThatIsNoProgram_ErrorSaysSo) {
  const std::string path = testing::TempDir() + "/engine_process_test_" + std::to_string(getpid());
  std::ofstream(path) << "no program\n";
  ASSERT_EQ(chmod(path.c_str(), 0700), 0);
  const base::UniqueFd program(open(path.c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(program);
  const auto engine = EngineProcess::Start(program.get(), {}, AllCpus());
  unlink(path.c_str());
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().find("cannot start an engine process: "), std::string::npos) << engine.error();
}

// A mediator of another release, which has options that this worker has not.
TEST(EngineStartTest, AnotherRelease_IsToldWhatToDo) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  base::Channel channel{base::UniqueFd(ends[0]), engine::kEngineFormat};
  base::UniqueFd theirs(ends[1]);
  const std::string parent = std::to_string(getpid());
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(fcntl(theirs.get(), F_DUPFD_CLOEXEC, engine::kKickFd + 1), engine::kSocketFd);
    execl(kReleaseWorker, "vgpu-engine", engine::kEngineCommand, parent.c_str(), engine::kReleaseOption,
          "9.9.9/9", "--more", nullptr);
    _exit(127);
  }
  theirs.reset();
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE) << status;
  base::Frame<base::UniqueFd> frame;
  const auto received = channel.Receive(&frame);
  ASSERT_TRUE(received && *received == base::Received::kFrame);
  EXPECT_EQ(frame.type, engine::kFailed);
  const auto* message = frame.As<engine::TextMessage>();
  ASSERT_NE(message, nullptr);
  const std::string text = engine::TextOf(message->text);
  EXPECT_NE(text.find("9.9.9/9"), std::string::npos) << text;
  EXPECT_NE(text.find(engine::Release()), std::string::npos) << text;
  EXPECT_NE(text.find("install both of one release"), std::string::npos) << text;
}

}  // namespace
}  // namespace vgpu::mediator
