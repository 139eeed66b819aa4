// SPDX-License-Identifier: Apache-2.0
// Many guests that do nothing cost nothing; owners that are killed leave nothing.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "api/vector.h"
#include "base/sanitized.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

class LifetimeTest : public testing::Test {
 protected:
  void SetUp() override {
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.socket = folder_ / "socket", .flags = {"--backend", "cpu"}, .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
  }

  // Waits until the daemon has not run for a while.
  bool Quiet() {
    uint64_t last = ~0ull;
    return Eventually([&] {
      const uint64_t now = daemon_->ContextSwitches();
      const bool quiet = now == last;
      last = now;
      if (!quiet) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return quiet;
    });
  }

  const TempFolder folder_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(LifetimeTest, SixtyFourIdleGuests_NoWakeUpsAndNoCpu) {
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer has a thread of its own, which wakes";
  std::vector<std::unique_ptr<Owner>> owners;
  std::vector<std::unique_ptr<Guest>> guests;
  for (uint32_t vm = 1; vm <= 64; ++vm) {
    owners.push_back(std::make_unique<Owner>(
        OwnerOptions{.vm_id = vm, .priority = vm % 3, .rings = 2, .entries = 16, .region_bytes = 64 << 10}));
    ASSERT_TRUE(owners.back()->Attach(daemon_->socket())) << daemon_->Log();
    for (uint32_t q = 0; q < 2; ++q) {
      guests.push_back(std::make_unique<Guest>(owners.back().get(), q));
      guests.back()->Open();
      ASSERT_EQ(guests.back()->Ask(guests.back()->Add(1, 1)).data, 2u);
    }
  }
  ASSERT_TRUE(Quiet());
  const uint64_t switches = daemon_->ContextSwitches();
  const uint64_t ticks = daemon_->CpuTicks();
  std::this_thread::sleep_for(std::chrono::seconds(2));  // the interval that is measured
  EXPECT_EQ(daemon_->ContextSwitches(), switches);
  EXPECT_EQ(daemon_->CpuTicks(), ticks);
  for (const auto& guest : guests) EXPECT_EQ(guest->Ask(guest->Add(2, 3)).data, 5u) << "it sleeps too deeply";
}

// A process that attaches, keeps the backend busy, and says so with a byte.
pid_t StartOwner(const std::string& socket, uint32_t vm_id, int ready) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  Owner owner({.vm_id = vm_id, .region_bytes = 4 << 20});
  if (!owner.Attach(socket)) _exit(1);
  Guest guest(&owner, 0);
  guest.Open();
  constexpr uint64_t kCount = 200'000;
  for (;;) {
    uint32_t last = 0;
    while (!guest.producer().full()) {
      last = guest.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, 4 * kCount, 8 * kCount});
    }
    guest.Flush();
    if (write(ready, "!", 1) != 1) _exit(1);
    ring::Answer answer;
    for (uint32_t idx = guest.producer().oldest(); idx != last + 1; ++idx) guest.Await(idx, &answer);
  }
}

TEST_F(LifetimeTest, OwnerKilled_EverythingIsFreeAgain) {
  Owner honest({.vm_id = 1});
  ASSERT_TRUE(honest.Attach(daemon_->socket()));
  Guest guest(&honest, 0);
  guest.Open();
  ASSERT_TRUE(Quiet());
  const size_t descriptors = daemon_->Descriptors();
  const size_t memfds = daemon_->MappedMemfds();
  double slowest_ms = 0;
  for (int round = 0; round < 40; ++round) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t owner = StartOwner(daemon_->socket(), 2, ready[1]);
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    ASSERT_GT(daemon_->MappedMemfds(), memfds);
    kill(owner, SIGKILL);
    const TimePoint killed = Clock::now();
    ASSERT_EQ(waitpid(owner, nullptr, 0), owner);
    ASSERT_TRUE(Eventually([&] {
      return daemon_->MappedMemfds() == memfds && daemon_->Descriptors() == descriptors;
    })) << daemon_->MappedMemfds()
        << " maps of " << memfds << ", " << daemon_->Descriptors() << " descriptors of " << descriptors;
    slowest_ms =
        std::max(slowest_ms, std::chrono::duration<double, std::milli>(Clock::now() - killed).count());
    Owner next({.vm_id = 2});
    ASSERT_TRUE(next.Attach(daemon_->socket())) << "its id is not free";
    next.Hangup();
    ASSERT_TRUE(Eventually([&] { return daemon_->Descriptors() == descriptors; }));
    EXPECT_EQ(guest.Ask(guest.Add(round, 1)).data, static_cast<uint32_t>(round + 1));
    close(ready[0]);
    close(ready[1]);
  }
  std::printf("everything of a killed owner was free after at most %.1f ms\n", slowest_ms);
}

// Two hundred lives of one guest: no descriptor, mapping or memory more at the end
// than after the first fifty.
TEST_F(LifetimeTest, AttachAndDetachManyTimes_NothingGrows) {
  const auto live = [&](int times) {
    for (int i = 0; i < times; ++i) {
      Owner owner({.vm_id = 5, .rings = 8, .region_bytes = 1 << 20});
      ASSERT_TRUE(owner.Attach(daemon_->socket()));
      Guest guest(&owner, static_cast<uint32_t>(i % 8));
      guest.Open();
      ASSERT_EQ(guest.Ask(guest.Add(i, i)).data, static_cast<uint32_t>(2 * i));
      owner.peer().Send(VGPU_MSG_DETACH);
      ASSERT_TRUE(owner.peer().HungUp());
    }
  };
  live(50);
  const size_t descriptors = daemon_->Descriptors();
  const uint64_t resident_kib = daemon_->ResidentKib();
  live(150);
  EXPECT_TRUE(Eventually([&] { return daemon_->Descriptors() <= descriptors; }));
  if (base::kSanitized) GTEST_SKIP() << "memory in use cannot be told: a sanitizer keeps what was freed";
  EXPECT_LE(daemon_->ResidentKib(), resident_kib + 512);
}

}  // namespace
}  // namespace vgpu::test
