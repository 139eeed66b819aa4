// SPDX-License-Identifier: Apache-2.0
// Guests that lie, flood and scribble, beside an honest one that must get every answer right.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "api/window.h"
#include "base/unique_fd.h"
#include "ring/memory.h"
#include "ring/regs.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

using ring::RealMemory;

constexpr uint32_t kHonestVm = 1;
constexpr uint32_t kHostileVm = 2;
constexpr uint32_t kHostileEntries = 8;

class HostileTest : public testing::Test {
 protected:
  void SetUp() override {
    daemon_ = std::make_unique<Daemon>(DaemonOptions{.socket = folder_ / "socket", .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
    ASSERT_TRUE(honest_.Attach(daemon_->socket()));
    guest_.Open();
    ASSERT_TRUE(hostile_.Attach(daemon_->socket()));
  }

  void TearDown() override {
    EXPECT_TRUE(daemon_->Running());
    if (HasFailure()) std::printf("the daemon says:\n%s", daemon_->Log().c_str());
  }

  // `count` requests of the honest guest: sums, and vectors in pieces.
  void ExpectHonestServed(int count) {
    constexpr uint64_t kVector = 3000;  // too many for the loop: a worker's
    auto* word = reinterpret_cast<uint32_t*>(honest_.arena(0));
    for (int i = 0; i < count; ++i) {
      const ring::Answer sum = guest_.Ask(guest_.Add(i, 2 * i));
      ASSERT_EQ(sum.code, VGPU_OK);
      ASSERT_EQ(sum.data, static_cast<uint32_t>(3 * i));
      if (i % 16 != 0) continue;
      for (uint64_t k = 0; k < kVector; ++k)
        word[k] = static_cast<uint32_t>(k * k) + static_cast<uint32_t>(i);
      ASSERT_EQ(guest_.Ask(guest_.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kVector, 0, 0, 32768})).code,
                VGPU_OK);
      for (uint64_t k = 0; k < kVector; ++k) ASSERT_EQ(word[8192 + k], 2 * word[k]);
    }
  }

  // Runs `attack` again and again on another thread, as long as the honest guest works
  // and at least `rounds` times.
  template <class Attack>
  void WhileUnderAttack(uint64_t rounds, Attack attack) {
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> done{0};
    std::thread aggressor([&] {
      while (!stop) {
        attack();
        ++done;
      }
    });
    ExpectHonestServed(400);
    EXPECT_TRUE(Eventually([&] { return done >= rounds; }));
    ExpectHonestServed(100);
    stop = true;
    aggressor.join();
  }

  void ExpectAlive() {
    ASSERT_TRUE(daemon_->Running()) << daemon_->Log();
    ExpectHonestServed(20);
  }

  uint64_t HostileVm(const char* field) { return daemon_->StatusNumber(std::string("/vms/1/") + field); }

  const TempFolder folder_;
  std::unique_ptr<Daemon> daemon_;
  Owner honest_{{.vm_id = kHonestVm}};
  Owner hostile_{{.vm_id = kHostileVm, .rings = 2, .entries = kHostileEntries}};
  Guest guest_{&honest_, 0};
};

// ---- scribbling ----

// Writes words that look like the protocol's, and words that do not, everywhere in the region.
class Scribbler {
 public:
  Scribbler(Owner* owner, uint64_t seed) : owner_(owner), random_(seed) {}

  void Scribble() {
    const uint32_t q = static_cast<uint32_t>(random_() % 2);
    const auto ring = owner_->ring(q);
    switch (random_() % 32) {
      case 0:
        return Store(reinterpret_cast<uint64_t*>(owner_->region()) + random_() % 32, random_());  // header
      case 1: return Store(Any(ring), random_());
      case 2:
        return Store(ring.epoch_req, vgpu_word(random_() % 3, epoch_ = static_cast<uint32_t>(random_() % 5)));
      case 3: return Store(ring.call_event, vgpu_word(static_cast<uint32_t>(random_() % 16), epoch_));
      case 4: return Store(ring.kick_event, random_());
      case 5: return owner_->Kick(q);
      default: return Submit(ring, static_cast<uint32_t>(random_() % (4 * kHostileEntries)));
    }
  }

 private:
  void Store(uint64_t* word, uint64_t value) { RealMemory::StoreRelease(word, value); }

  uint64_t* Any(const ring::RingRef<RealMemory>& ring) {
    const auto words = (kHostileEntries * sizeof(vgpu_slot) + VGPU_SLOTS_OFF) / sizeof(uint64_t);
    return ring.epoch_req + random_() % words;
  }

  // A request that the mediator may take: the right tag of a slot near the one that it looks at.
  void Submit(const ring::RingRef<RealMemory>& ring, uint32_t idx) {
    constexpr uint32_t kOpcodes[] = {VGPU_OP_NOP, VGPU_OP_ADD, VGPU_OP_DEVICE_INFO, VGPU_OP_VECTOR_ADD};
    const uint32_t epoch = vgpu_word_seq(RealMemory::LoadAcquire(ring.epoch_ack));
    const bool valid = random_() % 2 == 0;  // a long vector in place, which keeps the slots before it in use
    const uint64_t count = owner_->layout().arena_bytes / 8;
    for (uint32_t i = 0; i < VGPU_SLOT_ARGS; ++i) {
      Store(ring.arg(idx, i), valid ? (i == 0 ? count : 0) : random_() >> random_() % 64);
    }
    Store(ring.submit(idx), vgpu_submit_word(kOpcodes[random_() % 4], random_() % 4, ring.tag(epoch, idx)));
  }

  Owner* const owner_;
  std::mt19937_64 random_;
  uint32_t epoch_ = 1;
};

TEST_F(HostileTest, RubbishEverywhere_OnlyHurtsItself) {
  Scribbler scribbler(&hostile_, TestSeed());
  uint64_t steps = 0;
  WhileUnderAttack(300'000, [&] {
    scribbler.Scribble();
    // Fenced by now, most likely: start again.
    if (++steps % 1000 == 0) hostile_.peer().Send(VGPU_MSG_RESET);
  });
  EXPECT_GT(HostileVm("answered"), 0u) << "no request got as far as decode: this test proves little";
  EXPECT_GT(HostileVm("rings/0/refused") + HostileVm("rings/1/refused"), 0u);
  ExpectAlive();
}

// ---- lies ----

// Submits without ever waiting for an answer, only for each lap to be taken, until one comes too soon.
void SubmitUntilFenced(Owner* owner) {
  const auto ring = owner->ring(0);
  const vgpu_journal* journal = owner->journal();
  const uint32_t epoch = vgpu_word_seq(RealMemory::LoadAcquire(ring.epoch_ack));
  const uint64_t count = owner->layout().arena_bytes / 4;  // in pieces: no answer comes soon
  const auto fenced = [&] {
    return vgpu_word_data(RealMemory::LoadAcquire(ring.epoch_ack)) == VGPU_EPOCH_FENCED;
  };
  for (uint32_t idx = 0; !fenced();) {
    for (uint32_t i = 0; i < kHostileEntries; ++i, ++idx) {
      const uint64_t args[] = {count, 0, 0, 0};
      for (uint32_t k = 0; k < 4; ++k) RealMemory::StoreRelaxed(ring.arg(idx, k), args[k]);
      RealMemory::StoreRelease(ring.submit(idx),
                               vgpu_submit_word(VGPU_OP_VECTOR_ADD, 0, ring.tag(epoch, idx)));
    }
    owner->Kick(0);
    ASSERT_TRUE(
        Eventually([&] { return fenced() || __atomic_load_n(&journal->cons, __ATOMIC_ACQUIRE) == idx; }));
  }
}

TEST_F(HostileTest, SlotReusedBeforeItsAnswer_FencedUntilReset) {
  Guest liar(&hostile_, 0);
  liar.Open();
  SubmitUntilFenced(&hostile_);

  const Message state = hostile_.peer().Expect(VGPU_MSG_STATE);
  vgpu_msg_state said{};
  ASSERT_EQ(state.payload.size(), sizeof said);
  std::memcpy(&said, state.payload.data(), sizeof said);
  EXPECT_EQ(said.ring_state, VGPU_RING_STATE_FENCED);
  EXPECT_EQ(said.code, VGPU_ERR_FENCED);
  EXPECT_EQ(daemon_->StatusText("/vms/1/state"), "fenced");
  EXPECT_EQ(HostileVm("fences"), 1u);
  EXPECT_EQ(daemon_->StatusText("/vms/0/state"), "attached");
  ExpectAlive();

  // No new epoch lifts a fence; a reset does.
  uint32_t epoch_state = VGPU_EPOCH_CLOSED;
  liar.AskEpoch(true);
  ExpectHonestServed(20);
  EXPECT_EQ(vgpu_word_data(*hostile_.ring(0).epoch_ack), VGPU_EPOCH_FENCED);
  hostile_.peer().Send(VGPU_MSG_RESET);
  hostile_.peer().Expect(VGPU_MSG_STATE);
  hostile_.peer().Expect(VGPU_MSG_RESET_DONE);
  liar.AskEpoch(true);
  ASSERT_EQ(liar.AwaitEpoch(&epoch_state), Outcome::kDone);
  ASSERT_EQ(epoch_state, VGPU_EPOCH_OPEN);
  EXPECT_EQ(liar.Ask(liar.Add(5, 6)).data, 11u);
}

// A fence ends the guest's other rings, too: what was taken there is answered 13, and the ring says that it
// is fenced.
TEST_F(HostileTest, Fenced_OtherRingsEndToo) {
  Guest liar(&hostile_, 0), other(&hostile_, 1);
  liar.Open();
  other.Open();
  const uint64_t count = hostile_.layout().arena_bytes / 4;
  for (uint32_t i = 0; i < kHostileEntries; ++i)
    other.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {count, 0, 0, 0});
  other.Flush();
  ASSERT_TRUE(Eventually([&] { return HostileVm("rings/1/taken") == kHostileEntries; }));
  SubmitUntilFenced(&hostile_);
  for (uint32_t idx = 0; idx < kHostileEntries; ++idx) {
    ring::Answer answer{};
    ASSERT_EQ(other.Await(idx, &answer), Outcome::kDone);
    EXPECT_TRUE(answer.code == VGPU_OK || answer.code == VGPU_ERR_FENCED) << answer.code;
  }
  EXPECT_TRUE(Eventually([&] {
    return vgpu_word_data(RealMemory::LoadAcquire(hostile_.ring(1).epoch_ack)) == VGPU_EPOCH_FENCED;
  }));
  ExpectAlive();
}

// The fence ends with the session; the register window of the next one works, whichever mediator serves it.
TEST_F(HostileTest, FencedThenMediatorRestarted_WindowWorksAgain) {
  Guest liar(&hostile_, 0);
  liar.Open();
  SubmitUntilFenced(&hostile_);
  hostile_.peer().Expect(VGPU_MSG_STATE);
  daemon_->Kill();
  daemon_ = std::make_unique<Daemon>(DaemonOptions{.socket = folder_ / "socket", .log = folder_ / "log"});
  ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
  ASSERT_TRUE(honest_.Attach(daemon_->socket()));
  ASSERT_TRUE(hostile_.Attach(daemon_->socket()));
  Guest window(&hostile_, hostile_.options().rings);
  ASSERT_EQ(window.AwaitWindow(), Outcome::kDone);
  char* const buffer = hostile_.private_file() + VGPU_WINDOW_RING_OFF + VGPU_WINDOW_ARENA_OFF;
  const vgpu_window_request nop{VGPU_WINDOW_VERSION, VGPU_WINDOW_OP_NOP, 0, 0, 0, 0, {}};
  std::memcpy(buffer, &nop, sizeof nop);
  EXPECT_EQ(window.Ask(window.Stage(VGPU_OP_WINDOW, 0, {sizeof nop})).code, VGPU_OK);
  liar.Open();
  EXPECT_EQ(liar.Ask(liar.Add(1, 1)).data, 2u);
  ExpectAlive();
}

// ---- storms ----

TEST_F(HostileTest, EpochStorm_OnlyHurtsItself) {
  std::mt19937_64 random(TestSeed());
  const auto ring = hostile_.ring(0);
  uint32_t epoch = 0;
  WhileUnderAttack(2'000, [&] {
    epoch = vgpu_epoch_next(epoch);
    RealMemory::StoreRelease(ring.epoch_req, vgpu_word(VGPU_EPOCH_OPEN, epoch));
    hostile_.Kick(0);
    for (uint32_t idx = 0; idx < kHostileEntries; ++idx) {
      RealMemory::StoreRelaxed(ring.arg(idx, 0), hostile_.layout().arena_bytes / 4);
      for (uint32_t i = 1; i < 4; ++i) RealMemory::StoreRelaxed(ring.arg(idx, i), 0);
      RealMemory::StoreRelease(ring.submit(idx),
                               vgpu_submit_word(VGPU_OP_VECTOR_ADD, 0, ring.tag(epoch, idx)));
    }
    if (random() % 4 == 0) std::this_thread::yield();
  });
  ExpectAlive();
  // And the storm over, it is a guest like any other.
  Guest calm(&hostile_, 0);
  calm.Open();
  EXPECT_EQ(calm.Ask(calm.Add(20, 22)).data, 42u);
}

TEST_F(HostileTest, KickFlood_OnlyHurtsItself) {
  WhileUnderAttack(50'000, [&] {
    for (uint32_t q = 0; q < 3; ++q) hostile_.Kick(q);
  });
  ExpectAlive();
  Guest calm(&hostile_, 0);
  calm.Open();
  EXPECT_EQ(calm.Ask(calm.Add(20, 22)).data, 42u) << "the flood disarmed its own wake-up";
}

TEST_F(HostileTest, ResetStorm_OnlyHurtsItself) {
  Guest ring(&hostile_, 0);
  WhileUnderAttack(300, [&] {
    ring.AskEpoch(true);
    hostile_.peer().Send(VGPU_MSG_RESET);
    hostile_.peer().Expect(VGPU_MSG_STATE);
    hostile_.peer().Expect(VGPU_MSG_RESET_DONE);
  });
  ExpectAlive();
}

// ---- descriptors that the owner keeps changing ----

// A call that would block its writer: the counter is full, and the open file says "wait".
TEST_F(HostileTest, CallEventfdFullAndBlocking_StallsNobody) {
  Guest ring(&hostile_, 0);
  ring.Open();
  for (uint32_t q = 0; q < 3; ++q) {
    const int call = hostile_.doorbells(q).call.get();
    const uint64_t full = 0xfffffffffffffffe;
    uint64_t count;
    [[maybe_unused]] const ssize_t emptied = read(call, &count, sizeof count);
    ASSERT_EQ(write(call, &full, sizeof full), static_cast<ssize_t>(sizeof full));
    ASSERT_EQ(fcntl(call, F_SETFL, fcntl(call, F_GETFL) & ~O_NONBLOCK), 0);
  }
  ring.producer().ArmCall();
  for (int i = 0; i < 50; ++i) {
    const uint32_t idx = ring.Add(i, i);
    ring.producer().ArmCall();
    ring.Flush();
    ring::Answer answer{};
    ASSERT_TRUE(Eventually([&] { return ring.producer().Take(idx, &answer); }))
        << "the daemon waits for the owner";
    EXPECT_EQ(answer.data, static_cast<uint32_t>(2 * i));
    ExpectHonestServed(1);
  }
  EXPECT_GT(daemon_->StatusNumber("/vms/1/rings/0/calls"), 0u);
}

// A kick that would block its reader, and one that gives up its count one by one.
TEST_F(HostileTest, KickEventfdBlockingOrSemaphore_StallsNobody) {
  hostile_.Hangup();
  const base::UniqueFd semaphore(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC));
  hostile_.doorbells(1).kick = base::UniqueFd(dup(semaphore.get()));
  const int kick = hostile_.doorbells(0).kick.get();
  ASSERT_EQ(fcntl(kick, F_SETFL, 0), 0);
  ASSERT_TRUE(Eventually([&] { return hostile_.Attach(daemon_->socket()).has_value(); }));
  const uint64_t many = 1 << 30;
  ASSERT_EQ(write(semaphore.get(), &many, sizeof many), static_cast<ssize_t>(sizeof many));
  std::atomic<bool> stop{false};
  std::thread thief([&] {  // takes the kick away between the daemon's wake-up and its read
    while (!stop) {
      uint64_t count;
      const iovec piece{&count, sizeof count};
      hostile_.Kick(0);
      [[maybe_unused]] const ssize_t got = preadv2(kick, &piece, 1, -1, RWF_NOWAIT);
    }
  });
  ExpectHonestServed(400);
  stop = true;
  thief.join();
  ExpectAlive();
}

// ---- poisoned memory ----

// Really poisons one page of this machine, which is lost until the next boot: on request only.
TEST_F(HostileTest, PoisonedPage_OnlyHurtsItsOwner) {
  if (std::getenv("VGPU_TEST_HWPOISON") == nullptr) {
    GTEST_SKIP()
        << "costs this machine a page of memory until it boots again: set VGPU_TEST_HWPOISON=1 to run it";
  }
  Guest ring(&hostile_, 0);
  ring.Open();
  if (madvise(hostile_.arena(0), VGPU_PAGE_BYTES, MADV_HWPOISON) != 0) {
    GTEST_SKIP() << "this kernel does not poison pages for us: " << std::strerror(errno);
  }
  ring.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {16, 0, 64, 128});
  ring.Flush();
  EXPECT_TRUE(Eventually([&] { return vgpu_word_data(*hostile_.ring(0).epoch_ack) == VGPU_EPOCH_FENCED; }));
  ExpectAlive();
}

}  // namespace
}  // namespace vgpu::test
