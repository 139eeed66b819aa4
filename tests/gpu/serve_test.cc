// SPDX-License-Identifier: Apache-2.0
// What guests get from a GPU that works: right answers, from the GPU that their pool has, and nothing when
// they are idle.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "base/sanitized.h"
#include "operations/plain.h"
#include "operations/table.h"
#include "tests/gpu/engines.h"
#include "tests/gpu/gpu_fixture.h"

namespace vgpu::test {
namespace {

class ServeTest : public GpuTest {};

TEST_F(ServeTest, Adds_WrapAround_OneByOneAndManyAtOnce) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  const uint64_t before = GpuPieces(1);
  EXPECT_EQ(guest->Ask(guest->Add(INT32_MAX, 1)).data, 0x80000000u);
  EXPECT_EQ(guest->Ask(guest->Add(-1, -2)).data, static_cast<uint32_t>(-3));
  std::mt19937 random(static_cast<uint32_t>(TestSeed()));
  for (int round = 0; round < 20; ++round) {  // laps over the ring and over the resident kernel's entries
    std::vector<std::pair<uint32_t, uint32_t>> asked;
    while (!guest->producer().full()) {
      const uint32_t a = random(), b = random();
      asked.emplace_back(guest->Add(static_cast<int32_t>(a), static_cast<int32_t>(b)), a + b);
    }
    for (const auto& [idx, sum] : asked) {
      const ring::Answer answer = guest->Ask(idx);
      ASSERT_EQ(answer.code, VGPU_OK);
      ASSERT_EQ(answer.data, sum);
    }
  }
  EXPECT_EQ(GpuPieces(1) - before, 2u + 20u * 64);
  EXPECT_EQ(guest->Ask(guest->Stage(VGPU_OP_NOP)).code, VGPU_OK);
}

// Without the resident kernel every add is a job of a batch.
TEST_F(ServeTest, EngineLaunch_TheSameAnswers) {
  Start("engine = \"launch\"\n");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  const uint64_t before = GpuPieces(1);
  std::vector<uint32_t> asked;
  while (!guest->producer().full()) asked.push_back(guest->Add(static_cast<int32_t>(asked.size()), 1000));
  for (uint32_t i = 0; i < asked.size(); ++i) ASSERT_EQ(guest->Ask(asked[i]).data, i + 1000);
  EXPECT_EQ(GpuPieces(1) - before, asked.size());
}

// The special values of a type, then random bits.
template <class T>
T Value(std::mt19937_64* random) {
  if constexpr (std::is_floating_point_v<T>) {
    using Limits = std::numeric_limits<T>;
    const T special[] = {T{0},
                         -T{0},
                         Limits::infinity(),
                         -Limits::infinity(),
                         Limits::quiet_NaN(),
                         Limits::max(),
                         Limits::lowest(),
                         Limits::min(),
                         Limits::denorm_min(),
                         Limits::epsilon()};
    const uint64_t pick = (*random)() % 20;
    if (pick < std::size(special)) return special[pick];
  }
  const uint64_t bits = (*random)();
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
bool Same(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x) && std::isnan(y)) return true;
  }
  return std::memcmp(&x, &y, sizeof x) == 0;
}

// `in_place`: the result replaces the left operand.
template <class Row, class T>
void AskVector(Owner* owner, Guest* guest, uint32_t type, uint64_t count, bool in_place,
               std::mt19937_64* random) {
  const uint64_t skew = type == VGPU_TYPE_I32 || type == VGPU_TYPE_F64 ? 1 : 0;  // elements
  const uint64_t room = owner->layout().arena_bytes / 3 / 64 * 64;
  ASSERT_LE(count * sizeof(T) + skew * sizeof(T), room);
  T* a = reinterpret_cast<T*>(owner->arena(0)) + skew;
  T* b = Row::kOperands == 1 ? a : reinterpret_cast<T*>(owner->arena(0) + room);
  T* c = in_place ? a : reinterpret_cast<T*>(owner->arena(0) + 2 * room);
  for (uint64_t i = 0; i < count; ++i) {
    a[i] = Value<T>(random);
    b[i] = Value<T>(random);
  }
  std::vector<T> results(count);
  operations::ComputePlainly<Row>(a, b, results.data(), count);
  const auto off = [&](const T* at) {
    return static_cast<uint64_t>(reinterpret_cast<const char*>(at) - owner->arena(0));
  };
  const uint32_t idx = Row::kOperands == 1
                           ? guest->Stage(Row::kOpcode, type, {count, off(a), off(c)})
                           : guest->Stage(Row::kOpcode, type, {count, off(a), off(b), off(c)});
  ASSERT_EQ(guest->Ask(idx).code, VGPU_OK);
  for (uint64_t i = 0; i < count; ++i) {
    ASSERT_TRUE(Same(c[i], results[i])) << Row::kName << ", type " << type << ", element " << i;
  }
}

// Every operation and type, from one element to several pieces,
// through every way that a configuration can choose.
TEST_F(ServeTest, Vectors_AreTheCpusBitForBit) {
  std::mt19937_64 random(TestSeed());
  for (const char* settings : {"", "copy_from_kib = 0\n"}) {
    Start(settings);
    if (IsSkipped() || HasFatalFailure()) return;
    std::unique_ptr<Guest> guest;
    const auto owner = Attach(1, &guest, 'A', 32 << 20);
    for (const uint64_t count : {1u, 3u, 1000u, 4096u, 70'001u, 1'300'003u}) {
      for (const bool in_place : {false, true}) {
        operations::Vectors::VisitAll([&](auto at) {
          using At = decltype(at);
          AskVector<typename At::Row, typename At::T>(owner.get(), guest.get(), At::kType, count, in_place,
                                                      &random);
        });
      }
    }
    EXPECT_GT(GpuPieces(1), 48u);
    daemon_.reset();
  }
}

TEST_F(ServeTest, Pools_EachOnItsOwnGpu) {
  Start("pool_a = [1]\npool_b = [0]\n", {"FAKE_CUDA_DEVICES=2"});
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> in_a, in_b;
  const auto a = Attach(1, &in_a, 'A');
  const auto b = Attach(2, &in_b, 'B');
  EXPECT_EQ(RunsOn(1), "gpu 1");
  EXPECT_EQ(RunsOn(2), "gpu 0");
  EXPECT_EQ(in_a->Ask(in_a->Add(1, 2)).data, 3u);
  EXPECT_EQ(in_b->Ask(in_b->Add(3, 4)).data, 7u);
}

TEST_F(ServeTest, PoolWithoutGpu_TheCpuServes) {
  Start("pool_a = [0]\n");
  if (IsSkipped() || HasFatalFailure()) return;
  Owner owner({.vm_id = 5, .pool = 'B'});
  ASSERT_TRUE(owner.Attach(daemon_->socket()));
  Guest guest(&owner, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Add(1, 2)).data, 3u);
  EXPECT_EQ(RunsOn(5), "cpu");
}

// Several GPUs without a word about pools: VMs are spread.
TEST_F(ServeTest, TwoGpus_VmsAreSpread) {
  Start("", {"FAKE_CUDA_DEVICES=2"});
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> first, second;
  const auto a = Attach(1, &first);
  const auto b = Attach(2, &second);
  EXPECT_NE(RunsOn(1), RunsOn(2));
}

// While a higher class has adds, a lower one's vectors go in small pieces that leave it the bus.
TEST_F(ServeTest, AddsOfAHigherClass_LowVectorsAreThrottled) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> high, low;
  const auto urgent = Attach(1, &high, 'A', 4 << 20, 1, 2);
  const auto flood = Attach(2, &low, 'A', 16 << 20, 1, 0);
  constexpr uint64_t kCount = 1 << 20;  // two copying pieces, or 32 throttled ones
  const auto ask = [&] { return low->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, kCount * 4, 0}); };
  ASSERT_EQ(low->Ask(ask()).code, VGPU_OK);
  EXPECT_EQ(GpuPieces(2), 2u);
  // An add counts for a millisecond, which a busy machine may take to get to the vector: then again.
  EXPECT_TRUE(Eventually([&] {
    const uint64_t before = GpuPieces(2);
    const uint32_t idx = ask();
    EXPECT_EQ(high->Ask(high->Add(1, 1)).data, 2u);
    low->Flush();
    while (!low->producer().Answered(idx)) EXPECT_EQ(high->Ask(high->Add(2, 2)).data, 4u);
    EXPECT_EQ(low->Ask(idx).code, VGPU_OK);
    return GpuPieces(2) - before > 8;
  }));
}

// The driver's unregister waits for every kernel: with the resident one there it would wait for ever.
TEST_F(ServeTest, VmLeavesWhileOthersKeepTheKernelBusy_ItsMemoryIsFree) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> busy, leaver;
  const auto stays = Attach(1, &busy);
  for (uint32_t vm = 2; vm < 6; ++vm) {
    auto leaves = Attach(vm, &leaver);
    ASSERT_EQ(leaver->Ask(leaver->Add(1, 1)).data, 2u);
    leaves->Hangup();
    ASSERT_TRUE(Eventually([&] {
      EXPECT_EQ(busy->Ask(busy->Add(20, 3)).data, 23u);
      return daemon_->VmCount() == 1;
    })) << daemon_->Log();
  }
}

// A loop that never sleeps lets go of the kernel, too.
TEST_F(ServeTest, VmLeavesASpinningMediator_ItsMemoryIsFree) {
  Start("", {}, "spin");
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  auto leaves = Attach(1, &guest);
  for (uint32_t i = 0; i < 100; ++i)
    ASSERT_EQ(guest->Ask(guest->Add(static_cast<int32_t>(i), 1)).data, i + 1);
  leaves->Hangup();
  ASSERT_TRUE(Eventually([&] { return daemon_->VmCount() == 0; })) << daemon_->Log();
}

TEST_F(ServeTest, StoppedWhileAGuestNeverPauses_Ends) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  std::atomic<bool> over{false};
  std::atomic<uint32_t> answers{0};
  std::thread load([&] {
    auto& producer = guest->producer();
    while (!over) {
      while (!producer.full()) guest->Add(1, 2);
      guest->Flush();
      ring::Answer answer;
      const uint32_t end = producer.prod();
      for (uint32_t idx = producer.oldest(); idx != end; ++idx) answers += producer.Take(idx, &answer);
    }
  });
  EXPECT_TRUE(Eventually([&] { return answers > 1000; }));
  daemon_->Signal(SIGTERM);
  const int status = daemon_->Join();
  over = true;
  load.join();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

// Nobody polls for nobody: the kernel leaves, and neither the mediator nor its engines wake up.
TEST_F(ServeTest, IdleGuests_NoWakeUps) {
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer has a thread of its own, which wakes";
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  std::vector<std::unique_ptr<Owner>> owners;
  std::vector<std::unique_ptr<Guest>> guests(8);
  for (uint32_t vm = 0; vm < guests.size(); ++vm) {
    owners.push_back(Attach(vm + 1, &guests[vm], 'A', 1 << 20));
    ASSERT_EQ(guests[vm]->Ask(guests[vm]->Add(1, 1)).data, 2u);
  }
  const auto switches = [&] {
    uint64_t total = daemon_->ContextSwitches();
#ifndef VGPU_REAL_GPU  // whose driver has threads of its own, with timers
    for (const pid_t engine : ChildrenOf(daemon_->pid())) total += ContextSwitchesOf(engine);
#endif
    return total;
  };
  ASSERT_EQ(ChildrenOf(daemon_->pid()).size(), 2u);
  // Quiet for a while, which would never come if anything had a timer.
  ASSERT_TRUE(Eventually([&] {
    const uint64_t before = switches();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return switches() == before;
  }));
  ASSERT_EQ(guests[0]->Ask(guests[0]->Add(4, 5)).data, 9u);  // and it comes back
}

// Another process has the GPU: the kernel gives way, and adds go on.
TEST_F(ServeTest, TimeSlicesOfOthers_AnswersGoOn) {
  Start("", {"FAKE_CUDA_GAPS=1"});
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(1, &guest);
  const auto until = Clock::now() + std::chrono::seconds(2);
  for (uint32_t i = 0; Clock::now() < until; ++i) {
    ASSERT_EQ(guest->Ask(guest->Add(static_cast<int32_t>(i), 1)).data, i + 1);
  }
}

// ---- no GPU ----

#ifndef VGPU_REAL_GPU

class NoGpuTest : public GpuTest {
 protected:
  std::unique_ptr<Daemon> Run(const std::string& backend, const std::string& library,
                              std::vector<std::string> environment) {
    WriteFile(config_, "[gpu]\ndriver_library = \"" + library + "\"\n");
    return std::make_unique<Daemon>(DaemonOptions{.binary = kGpuMediator,
                                                  .socket = folder_ / "socket",
                                                  .flags = {"--config", config_, "--backend", backend},
                                                  .environment = std::move(environment),
                                                  .log = folder_ / "log"});
  }
  // The daemon must end, and say this.
  void ExpectRefusal(const std::string& library, std::vector<std::string> environment,
                     const std::string& text) {
    const auto daemon = Run("cuda", library, std::move(environment));
    const int status = daemon->Join();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    EXPECT_NE(daemon->Log().find(text), std::string::npos) << daemon->Log();
  }
};

TEST_F(NoGpuTest, Cuda_EndsWithTheReason) {
  ExpectRefusal("/nonexistent/libcuda.so", {}, "no NVIDIA driver");
  ExpectRefusal(FakeDriver(), {"FAKE_CUDA_VERSION=12000"}, "install a driver for CUDA 13 or newer");
  ExpectRefusal(FakeDriver(), {"FAKE_CUDA_DEVICES=0"}, "finds no GPU");
  ExpectRefusal(FakeDriver(), {"FAKE_CUDA_MODULE=209"}, "loading the kernels");
}

TEST_F(NoGpuTest, Auto_SaysSoOnceAndServes) {
  const auto daemon = Run("auto", "/nonexistent/libcuda.so", {});
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  Owner owner({});
  ASSERT_TRUE(owner.Attach(daemon->socket()));
  Guest guest(&owner, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Add(100, 200)).data, 300u);
  const std::string log = daemon->Log();
  const size_t said = log.find("no GPU, the CPU computes: no NVIDIA driver");
  ASSERT_NE(said, std::string::npos) << log;
  EXPECT_EQ(log.find("no GPU, the CPU", said + 1), std::string::npos) << log;
}

#endif  // VGPU_REAL_GPU

}  // namespace
}  // namespace vgpu::test
