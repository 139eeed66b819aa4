// SPDX-License-Identifier: Apache-2.0
// A host process as guest, against the real daemon in a process of its own.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "guest/allocation_counter.h"
#include "guest/client.h"
#include "guest/host_transport.h"
#include "guest/ping.h"
#include "guest/subprocess.h"
#include "guest/temp_folder.h"
#include "guest/vadd.h"

namespace vgpu::guest {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TimePoint Soon() { return Clock::now() + seconds(30); }

class HostEndToEndTest : public testing::Test {
 protected:
  ~HostEndToEndTest() override {
    mediator_.reset();
    if (HasFailure()) {
      std::ifstream log(folder_.path() / "log");
      std::string text{std::istreambuf_iterator<char>(log), {}};
      std::printf("the mediator's log:\n%s\n", text.c_str());
    }
  }

  void StartMediator(const std::vector<std::string>& more = {}) {
    std::vector<std::string> argv = {ProgramPath("mediator/mediator"), "--socket", socket_, "--backend",
                                     "cpu"};
    argv.insert(argv.end(), more.begin(), more.end());
    mediator_ = std::make_unique<Background>(argv, (folder_.path() / "log").string());
  }

  // As soon as the daemon listens.
  std::shared_ptr<HostTransport> Attach(HostOptions options = {}) {
    options.socket = socket_;
    const TimePoint deadline = Soon();
    while (true) {
      auto transport = HostTransport::Open(options, deadline);
      if (transport) return std::move(*transport);
      if (transport.error().code != VGPU_ERR_UNAVAILABLE || Clock::now() > deadline) {
        ADD_FAILURE() << transport.error().text;
        return nullptr;
      }
      usleep(1000);
    }
  }
  std::unique_ptr<Client> Open(std::shared_ptr<Transport> transport, uint32_t ring = 0) {
    auto client = Client::Open(std::move(transport), ring, Soon());
    if (client) return std::move(*client);
    ADD_FAILURE() << client.error().text;
    return nullptr;
  }
  Outcome RunClient(std::vector<std::string> args) {
    args.insert(args.begin(), {ProgramPath("guest/vgpu-client"), "--socket", socket_, "--timeout", "30"});
    return RunProgram(args);
  }

  const TempFolder folder_;
  const std::string socket_ = (folder_.path() / "s").string();
  std::unique_ptr<Background> mediator_;
};

TEST_F(HostEndToEndTest, CommandLine_ExactOutput) {
  StartMediator();
  ASSERT_TRUE(Attach());
  const Outcome add = RunClient({"add", "100", "200"});
  EXPECT_EQ(add.exit_code, 0) << add.err;
  EXPECT_EQ(add.out, "100 + 200 = 300\n");
  EXPECT_EQ(RunClient({"add", "-5", "3"}).out, "-5 + 3 = -2\n");
  EXPECT_EQ(RunClient({"add", "2147483647", "1"}).out, "2147483647 + 1 = -2147483648\n");

  const Outcome info = RunClient({"info", "--json", "--vm-id", "77", "--pool", "B", "--priority", "high"});
  ASSERT_EQ(info.exit_code, 0) << info.err;
  const auto parsed = nlohmann::json::parse(info.out);
  EXPECT_EQ(parsed["backend"], "cpu");
  EXPECT_EQ(parsed["vm_id"], 77);
  EXPECT_EQ(parsed["pool"], "B");
  EXPECT_EQ(parsed["priority"], 2);

  const Outcome ping = RunClient({"ping", "--count", "5000", "--depth", "64", "--json"});
  ASSERT_EQ(ping.exit_code, 0) << ping.err;
  EXPECT_EQ(nlohmann::json::parse(ping.out)["count"], 5000);
  EXPECT_EQ(nlohmann::json::parse(ping.out)["wrong"], 0);

  const Outcome vadd = RunClient({"vadd", "--count", "100000", "--type", "f32", "--in-place", "--seed", "9"});
  EXPECT_EQ(vadd.exit_code, 0) << vadd.err;
  EXPECT_NE(vadd.out.find("100000 elements of f32 in place, 0 wrong, seed 9"), std::string::npos) << vadd.out;
}

TEST_F(HostEndToEndTest, CAbi) {
  StartMediator();
  ASSERT_TRUE(Attach());
  const Outcome outcome = RunProgram({ProgramPath("guest/c_abi_test"), socket_});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "all as it should be\n");
}

TEST_F(HostEndToEndTest, Vectors_OfEveryTypeAndManySizes) {
  StartMediator();
  auto client = Open(Attach());
  ASSERT_TRUE(client);
  for (const uint32_t type : {VGPU_TYPE_I32, VGPU_TYPE_I64, VGPU_TYPE_F32, VGPU_TYPE_F64}) {
    for (const uint64_t count : {1u, 7u, 4096u, 1000003u}) {
      for (const bool in_place : {false, true}) {
        SCOPED_TRACE(std::string(TypeName(type)) + " x " + std::to_string(count));
        auto result = Vadd(*client, {count, type, in_place, seconds(30), count});
        ASSERT_TRUE(result) << result.error().text;
        ASSERT_FALSE(result->error) << result->error->text;
        EXPECT_EQ(result->wrong, 0u);
      }
    }
  }
}

TEST_F(HostEndToEndTest, Depths_EveryAnswerRight_NothingAllocated) {
  StartMediator();
  auto client = Open(Attach());
  ASSERT_TRUE(client);
  for (const uint32_t depth : {1u, 64u, 256u}) {
    auto result = Ping(*client, {20'000, depth, {}, seconds(30), depth});
    ASSERT_TRUE(result) << result.error().text;
    ASSERT_FALSE(result->error) << result->error->text;
    EXPECT_EQ(result->wrong, 0u);
  }
  const uint64_t before = AllocationCount();
  for (int32_t i = 0; i < 10'000; ++i) {
    auto answer = client->Wait(client->Add(i, 1), Clock::now() + seconds(30));
    if (!answer || static_cast<int32_t>(answer->data) != i + 1) FAIL();
  }
  if (!AllocationsAreCounted()) GTEST_SKIP() << "nobody counts allocations under this sanitizer";
  EXPECT_EQ(AllocationCount(), before);
}

// With both sides asleep each request costs two real wake-ups; a lost one would end in a time-out.
TEST_F(HostEndToEndTest, BothSidesSleep_NoWakeUpIsLost) {
  StartMediator({"--wait", "sleep"});
  auto client = Open(Attach());
  ASSERT_TRUE(client);
  auto result = Ping(*client, {3'000, 1, std::chrono::microseconds(100), seconds(30), 1});
  ASSERT_TRUE(result) << result.error().text;
  ASSERT_FALSE(result->error) << result->error->text;
  EXPECT_EQ(result->wrong, 0u);
  EXPECT_LT(result->latency_ns.max(), 20'000'000'000u) << "found at the deadline only: a wake-up was lost";
  EXPECT_GT(result->kicks, 2'000u) << "the mediator was to sleep between requests";
}

TEST_F(HostEndToEndTest, EightRings_EightThreads) {
  StartMediator();
  HostOptions options;
  options.rings = 8;
  auto transport = Attach(options);
  ASSERT_TRUE(transport);
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> answered{0};
  std::vector<std::thread> threads;
  for (uint32_t ring = 0; ring < 8; ++ring) {
    threads.emplace_back([&, ring] {
      auto client = Client::Open(transport, ring, Soon());
      if (!client) return;
      auto result = Ping(**client, {5'000, 16, {}, seconds(30), ring});
      if (!result) return;
      wrong += result->wrong;
      answered += result->latency_ns.count();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered.load(), 8u * 5'000);
  EXPECT_EQ(wrong.load(), 0u);
}

TEST_F(HostEndToEndTest, SameVmIdTwice_SecondIsRefusedWithAReason) {
  StartMediator();
  HostOptions options;
  options.vm_id = 5;
  auto first = Attach(options);
  ASSERT_TRUE(first);
  options.socket = socket_;
  auto second = HostTransport::Open(options, Soon());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(second.error().text.find("5"), std::string::npos) << second.error().text;
}

TEST_F(HostEndToEndTest, Reopen_ManyTimes) {
  StartMediator();
  auto transport = Attach();
  ASSERT_TRUE(transport);
  for (int i = 0; i < 600; ++i) {  // more than an epoch's 8 bits in a tag
    auto client = Open(transport);
    ASSERT_TRUE(client);
    auto answer = client->Wait(client->Add(i, 1), Soon());
    ASSERT_TRUE(answer) << answer.error().text;
    ASSERT_EQ(static_cast<int32_t>(answer->data), i + 1);
    if (i % 2 == 0) {
      ASSERT_TRUE(client->Close(Soon()));
    }
  }
}

TEST_F(HostEndToEndTest, MediatorKilledAndRestarted_TheClientGoesOn) {
  StartMediator();
  auto client = Open(Attach());
  ASSERT_TRUE(client);
  std::atomic<bool> done{false};
  uint64_t answered = 0;
  uint64_t wrong = 0;
  std::string error;
  std::atomic<uint64_t> progress{0};
  std::thread load([&] {
    while (!done.load() && error.empty()) {
      auto result = Ping(*client, {500, 32, {}, seconds(60), answered});
      if (!result) {
        error = result.error().text;
      } else if (result->error) {
        error = result->error->text;
      } else {
        answered += result->latency_ns.count();
        wrong += result->wrong;
      }
      ++progress;
    }
    done.store(true);
  });
  for (int kills = 0; kills < 10 && !done.load(); ++kills) {
    const uint64_t before = progress.load();
    const TimePoint deadline = Soon();
    while (progress.load() < before + 3 && !done.load() && Clock::now() < deadline) std::this_thread::yield();
    EXPECT_GE(progress.load(), before + 3) << "after " << kills << " restarts";
    mediator_->Kill();
    StartMediator();
  }
  done.store(true);
  load.join();
  EXPECT_EQ(error, "");
  EXPECT_EQ(wrong, 0u);
  EXPECT_GE(answered, 30u * 500);
}

TEST_F(HostEndToEndTest, MediatorAway_RequestIsAnsweredByTheNext) {
  StartMediator();
  auto client = Open(Attach());
  ASSERT_TRUE(client);
  mediator_->Kill();
  const uint32_t idx = client->Add(20, 22);
  auto answer = client->Wait(idx, Clock::now() + milliseconds(100));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, VGPU_ERR_UNAVAILABLE) << answer.error().text;
  StartMediator();
  answer = client->Wait(idx, Soon());
  ASSERT_TRUE(answer) << answer.error().text;
  EXPECT_EQ(answer->data, 42u);
}

}  // namespace
}  // namespace vgpu::guest
