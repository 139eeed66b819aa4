// SPDX-License-Identifier: Apache-2.0
// What one peer can do to disturb the others: ask without end, say nothing, take its memory away, make its
// descriptors slow. Whatever it is, a guest that has done nothing is served all the while.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "base/memfd.h"
#include "base/unique_fd.h"
#include "ring/regs.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"
#include "tests/support/crowd.h"

namespace vgpu::test {
namespace {

using ring::RealMemory;

constexpr uint32_t kHonestVm = 1;
constexpr uint32_t kVm = 2;
constexpr uint64_t kMiB = 1 << 20;

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << "says: " << (text)

// A number that a forked process sees, too.
class SharedCount {
 public:
  SharedCount()
      : count_(new (mmap(nullptr, sizeof *count_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                   std::atomic<uint64_t>(0)) {}
  ~SharedCount() { munmap(count_, sizeof *count_); }
  std::atomic<uint64_t>& operator*() const { return *count_; }

 private:
  std::atomic<uint64_t>* const count_;
};

// One request after the other, each answered rightly, as long as it lives.
class Stream {
 public:
  Stream(Guest* guest, std::atomic<uint64_t>* answered)
      : guest_(guest), answered_(answered), thread_([this] { Run(); }) {}
  ~Stream() {
    stop_ = true;
    thread_.join();
  }
  // So many more answers from now on.
  void AwaitMore(uint64_t count) const {
    const uint64_t wanted = *answered_ + count;
    EXPECT_TRUE(Eventually([&] { return *answered_ >= wanted; })) << "the honest guest is not served";
  }

 private:
  void Run() {
    for (int32_t i = 0; !stop_ && !testing::Test::HasFailure(); i = (i + 1) % 1'000'000) {
      const ring::Answer answer = guest_->Ask(guest_->Add(i, 1));
      EXPECT_EQ(answer.code, VGPU_OK);
      EXPECT_EQ(answer.data, static_cast<uint32_t>(i + 1));
      ++*answered_;
    }
  }

  Guest* const guest_;
  std::atomic<uint64_t>* const answered_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class DisturbanceTest : public testing::Test {
 protected:
  void SetUp() override {
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.socket = folder_ / "socket", .flags = {"--backend", "cpu"}, .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
    ASSERT_TRUE(honest_.Attach(socket())) << daemon_->Log();
    guest_.Open();
  }
  void TearDown() override {
    stream_.reset();
    EXPECT_TRUE(daemon_->Running());
    EXPECT_EQ(guest_.Ask(guest_.Add(3, 4)).data, 7u);
    if (HasFailure()) std::printf("the daemon says:\n%s", daemon_->Log().c_str());
  }

  const std::string& socket() const { return daemon_->socket(); }
  void StartStream() {
    stream_ = std::make_unique<Stream>(&guest_, &*answered_);
    stream_->AwaitMore(10);
  }

  // The error of an attach of this VM with the memory and doorbells of `owner`.
  std::string AttachError(const Owner& owner, uint32_t vm_id, const std::vector<int>& fds, uint32_t* code) {
    Peer peer(socket());
    peer.Hello(VGPU_ROLE_PROCESS);
    vgpu_msg_attach claim = owner.Claim();
    claim.vm_id = vm_id;
    peer.Send(VGPU_MSG_ATTACH, Bytes(claim), fds);
    for (uint32_t q = 0; q < owner.options().rings; ++q) {
      const vgpu_msg_ring ring{q, 0};
      peer.Send(VGPU_MSG_RING, Bytes(ring), owner.RingFds(q));
    }
    peer.Send(VGPU_MSG_START);
    return peer.ExpectError(code);
  }

  void Order(uint32_t type, uint32_t vm_id) {
    Peer peer(socket());
    peer.Hello(VGPU_ROLE_OPERATOR);
    const vgpu_msg_vm vm{vm_id, 0};
    peer.Send(type, Bytes(vm));
    peer.Expect(VGPU_MSG_DONE);
  }

  static vgpu_msg_state ExpectState(Peer* peer) {
    const Message message = peer->Expect(VGPU_MSG_STATE);
    vgpu_msg_state state{};
    EXPECT_EQ(message.payload.size(), sizeof state);
    std::memcpy(&state, message.payload.data(), std::min(sizeof state, message.payload.size()));
    return state;
  }

  const TempFolder folder_;
  std::unique_ptr<Daemon> daemon_;
  Owner honest_{{.vm_id = kHonestVm}};
  Guest guest_{&honest_, 0};
  const SharedCount answered_;  // of the stream
  std::unique_ptr<Stream> stream_;
};

// ---- questions ----

// Asks over `connections` connections, again and again. Returns 0 if each answer was as new as its question:
// what the guest had been answered by then is in it. (But for the last one, whose count may be on its way.)
int AskAgainAndAgain(const std::string& socket, int connections, int rounds,
                     const std::atomic<uint64_t>& answered) {
  std::vector<Peer> peers;
  for (int i = 0; i < connections; ++i) {
    peers.emplace_back(socket);
    peers.back().Hello(VGPU_ROLE_OPERATOR);
  }
  for (int round = 0; round < rounds; ++round) {
    std::vector<uint64_t> before;
    for (Peer& peer : peers) {
      before.push_back(answered);
      peer.Send(VGPU_MSG_STATUS);
    }
    for (size_t i = 0; i < peers.size(); ++i) {
      const auto reply = peers[i].Receive();
      if (!reply || reply->type != VGPU_MSG_STATUS_REPLY) return 2;
      const auto status = nlohmann::json::parse(reply->payload, nullptr, false);
      if (status.is_discarded()) return 3;
      if (status.at("/vms/0/rings/0/answered"_json_pointer).get<uint64_t>() + 1 < before[i]) return 4;
    }
  }
  return 0;
}

TEST_F(DisturbanceTest, StatusAskedByFifty_EachAnswerIsAsNewAsItsQuestion) {
  std::vector<pid_t> pids;
  for (int i = 0; i < 2; ++i) {  // processes, since one may have so many connections only
    const pid_t pid = fork();
    if (pid == 0)
      _exit(Eventually([this] { return *answered_ > 10; }) ? AskAgainAndAgain(socket(), 25, 20, *answered_)
                                                           : 1);
    pids.push_back(pid);
  }
  StartStream();
  for (const pid_t pid : pids) {
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  stream_->AwaitMore(100);
}

// ---- silence ----

TEST_F(DisturbanceTest, HundredSilentConnections_NobodyIsLockedOut) {
  StartStream();
  std::vector<Peer> silent;
  for (int i = 0; i < 100; ++i) {
    silent.emplace_back(socket());
    ASSERT_TRUE(silent.back().connected()) << i;
  }
  Owner owner({.vm_id = kVm});
  EXPECT_TRUE(owner.Attach(socket()));
  EXPECT_EQ(daemon_->VmCount(), 2u);
  uint32_t code = VGPU_OK;
  EXPECT_SAYS(silent[0].ExpectError(&code), "more connections that are not attached");
  EXPECT_EQ(code, VGPU_ERR_QUEUE_FULL);
  for (size_t i = 1; i < 60; ++i) EXPECT_TRUE(silent[i].HungUp()) << i;
  EXPECT_TRUE(silent.back().Hello(VGPU_ROLE_OPERATOR)) << "the youngest of them";
  stream_->AwaitMore(100);
}

TEST_F(DisturbanceTest, HalfAHello_HungUpOnAndWhoHasSpokenIsNot) {
  Peer greeted(socket());
  greeted.Hello(VGPU_ROLE_OPERATOR);
  Peer mute(socket()), half(socket());
  half.SendBytes(Encode(VGPU_MSG_HELLO, std::string(8, '\0')).substr(0, 9));
  for (Peer* peer : {&mute, &half}) {
    uint32_t code = VGPU_OK;
    EXPECT_SAYS(peer->ExpectError(&code), "nothing was heard");
    EXPECT_EQ(code, VGPU_ERR_TIMEOUT);
  }
  greeted.Send(VGPU_MSG_STATUS);
  greeted.Expect(VGPU_MSG_STATUS_REPLY);
}

// ---- memory ----

TEST_F(DisturbanceTest, MemoryOfAnotherVm_RefusedAndNamed) {
  Owner owner({.vm_id = kVm});
  const std::vector<int> own = owner.AttachFds();
  const std::vector<int> others = honest_.AttachFds();
  for (const auto& fds : {others, std::vector<int>{own[0], own[1], own[2], others[3], own[4]},
                          std::vector<int>{others[0], own[1], own[2], own[3], own[4]},
                          std::vector<int>{own[0], own[1], own[2], own[3], others[4]}}) {
    uint32_t code = VGPU_OK;
    EXPECT_SAYS(AttachError(owner, kVm, fds, &code), "is attached already, as that of VM 1");
    EXPECT_EQ(code, VGPU_ERR_INVALID_REQUEST);
  }
  EXPECT_TRUE(owner.Attach(socket()));
}

TEST_F(DisturbanceTest, SparseRegion_RefusedAndNothingIsAllocated) {
  constexpr uint64_t kBytes = 64 * kMiB;
  Owner owner({.vm_id = kVm, .region_bytes = kBytes});
  const base::UniqueFd sparse = std::move(base::MakeSealedMemfd("vgpu-region", kBytes).value());
  std::vector<int> fds = owner.AttachFds();
  fds[3] = sparse.get();
  const uint64_t before = daemon_->ResidentKib();
  uint32_t code = VGPU_OK;
  EXPECT_SAYS(AttachError(owner, kVm, fds, &code), "pages that are not present");
  EXPECT_EQ(code, VGPU_ERR_INVALID_REQUEST);
  struct stat info {};
  ASSERT_EQ(fstat(sparse.get(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0) << "the daemon has paid for its peer's memory";
  EXPECT_LT(daemon_->ResidentKib(), before + 8 * 1024);
}

TEST_F(DisturbanceTest, HoleInALiveRegion_FencedUntilItAttachesAgain) {
  StartStream();
  {
    Owner owner({.vm_id = kVm});
    ASSERT_TRUE(owner.Attach(socket()));
    Guest guest(&owner, 0);
    guest.Open();
    ASSERT_EQ(guest.Ask(guest.Add(1, 2)).data, 3u);
    const auto hole = owner.arena(0) - owner.region() + 8192;
    ASSERT_EQ(
        fallocate(owner.region_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole / 4096 * 4096, 4096),
        0);
    const ring::Answer answer =
        guest.Ask(guest.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {4096, 0, 0, 32768}));
    EXPECT_EQ(answer.code, VGPU_ERR_FENCED) << "computed from pages that are gone";
    const vgpu_msg_state state = ExpectState(&owner.peer());
    EXPECT_EQ(state.ring_state, VGPU_RING_STATE_FENCED);
    owner.peer().Send(VGPU_MSG_RESET);
    uint32_t code = VGPU_OK;
    EXPECT_SAYS(owner.peer().ExpectError(&code), "attach again");
    EXPECT_EQ(code, VGPU_ERR_FENCED);
  }
  Owner again({.vm_id = kVm});
  ASSERT_TRUE(again.Attach(socket()));
  Guest guest(&again, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Add(5, 6)).data, 11u);
  stream_->AwaitMore(100);
}

TEST_F(DisturbanceTest, GoneWithinTheAttachOfABigRegion_OthersAttachAndNothingStays) {
  StartStream();
  ASSERT_TRUE(Eventually([this] { return daemon_->MappedMemfds() != 0; }));
  const size_t memfds = daemon_->MappedMemfds();
  const Owner big({.vm_id = kVm, .region_bytes = 256 * kMiB});
  for (int i = 0; i < 5; ++i) {
    Peer peer(socket());
    big.SendAttach(&peer);
    peer.Expect(VGPU_MSG_HELLO);
    EXPECT_TRUE(Eventually([&] { return daemon_->MappedMemfds() > memfds; }));
    peer.Close();
    Owner small({.vm_id = kVm + 1});
    EXPECT_TRUE(small.Attach(socket()));
  }
  stream_->AwaitMore(100);
  EXPECT_TRUE(Eventually([&] { return daemon_->MappedMemfds() == memfds; })) << daemon_->MappedMemfds();
  Owner other({.vm_id = kVm});
  EXPECT_TRUE(other.Attach(socket())) << "its id is free again";
}

// ---- quarantine ----

TEST_F(DisturbanceTest, Quarantine_StaysUntilItIsReleased) {
  StartStream();
  Owner owner({.vm_id = kVm});
  ASSERT_TRUE(owner.Attach(socket()));
  Order(VGPU_MSG_QUARANTINE, kVm);
  vgpu_msg_state state = ExpectState(&owner.peer());
  EXPECT_EQ(state.ring_state, VGPU_RING_STATE_QUARANTINED);
  EXPECT_EQ(state.code, VGPU_ERR_QUARANTINED);
  EXPECT_EQ(daemon_->StatusText("/vms/1/state"), "quarantined");

  owner.peer().Send(VGPU_MSG_RESET);
  state = ExpectState(&owner.peer());
  EXPECT_EQ(state.ring_state, VGPU_RING_STATE_QUARANTINED) << "a reset does not lift it";
  owner.peer().Expect(VGPU_MSG_RESET_DONE);

  uint32_t code = VGPU_OK;
  EXPECT_SAYS(AttachError(owner, kVm, owner.AttachFds(), &code), "quarantined");
  EXPECT_EQ(code, VGPU_ERR_QUARANTINED);
  EXPECT_EQ(code, 11u);
  owner.Hangup();
  EXPECT_TRUE(Eventually([this] { return daemon_->VmCount() == 1; }));
  AttachError(owner, kVm, owner.AttachFds(), &code);
  EXPECT_EQ(code, VGPU_ERR_QUARANTINED) << "nor does another connection";

  Order(VGPU_MSG_RELEASE, kVm);
  ASSERT_TRUE(owner.Attach(socket()));
  Guest guest(&owner, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Add(5, 6)).data, 11u);
  stream_->AwaitMore(100);
}

TEST_F(DisturbanceTest, ReleasedWhileAttached_HungUpOnSoThatItAttachesAgain) {
  Owner owner({.vm_id = kVm});
  ASSERT_TRUE(owner.Attach(socket()));
  Order(VGPU_MSG_QUARANTINE, kVm);
  ExpectState(&owner.peer());
  Order(VGPU_MSG_RELEASE, kVm);
  EXPECT_TRUE(owner.peer().HungUp());
  EXPECT_TRUE(owner.Attach(socket()));
}

// ---- descriptors ----

TEST_F(DisturbanceTest, NoDescriptorsLeft_TheCauseIsNamedAndItDoesNotSpin) {
  rlimit before{};
  ASSERT_EQ(prlimit(daemon_->pid(), RLIMIT_NOFILE, nullptr, &before), 0);
  const rlimit few{daemon_->Descriptors() + 3, before.rlim_max};
  if (prlimit(daemon_->pid(), RLIMIT_NOFILE, &few, nullptr) != 0)
    GTEST_SKIP() << "prlimit: " << std::strerror(errno);
  {
    std::vector<Peer> peers;
    for (int i = 0; i < 20; ++i) peers.emplace_back(socket());
    ASSERT_TRUE(
        Eventually([this] { return daemon_->Log().find("a connection is refused") != std::string::npos; }));
    EXPECT_SAYS(daemon_->Log(), "descriptors");
    // Many wait to be accepted. Whoever looks at it without a pause has the processor to itself.
    const uint64_t ticks = daemon_->CpuTicks();
    const TimePoint begin = Clock::now();
    EXPECT_TRUE(Eventually([&] { return Clock::now() - begin > std::chrono::milliseconds(500); }));
    EXPECT_LT(daemon_->CpuTicks() - ticks, 20u) << "of 50";
    EXPECT_EQ(guest_.Ask(guest_.Add(1, 1)).data, 2u);
  }
  ASSERT_EQ(prlimit(daemon_->pid(), RLIMIT_NOFILE, &before, nullptr), 0);
  Owner owner({.vm_id = kVm});
  EXPECT_TRUE(owner.Attach(socket()));
}

// ---- isolated VMs ----

// Adds, and sums in place, which show each time too many or too few in which they are done.
class ExactlyOnce {
 public:
  static constexpr uint64_t kVector = 3000;
  static constexpr int kPairs = 4;

  explicit ExactlyOnce(Owner* owner) : owner_(owner), guest_(owner, 0) {
    for (uint64_t k = 0; k < kVector; ++k) {
      sums()[k] = 0;
      ones()[k] = static_cast<uint32_t>(k + 1);
    }
    guest_.Open();
  }
  // Vectors and adds in turns, all of them outstanding at once: whenever it is called, something waits and
  // something runs.
  void Round() {
    std::vector<uint32_t> adds, vectors;
    for (int i = 0; i < kPairs; ++i) {
      vectors.push_back(guest_.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kVector, 0, 32768, 0}));
      adds.push_back(guest_.Add(rounds_, i));
    }
    for (size_t i = 0; i < kPairs; ++i) {
      ASSERT_EQ(guest_.Ask(vectors[i]).code, VGPU_OK);
      ASSERT_EQ(guest_.Ask(adds[i]).data, static_cast<uint32_t>(rounds_) + i);
    }
    ++rounds_;
    for (const uint64_t k : {uint64_t{0}, kVector / 2, kVector - 1}) {
      ASSERT_EQ(sums()[k], static_cast<uint32_t>(rounds_ * kPairs) * ones()[k])
          << "after " << rounds_ << " rounds";
    }
  }
  uint64_t requests() const { return static_cast<uint64_t>(rounds_) * 2 * kPairs; }

 private:
  uint32_t* sums() const { return reinterpret_cast<uint32_t*>(owner_->arena(0)); }
  uint32_t* ones() const { return reinterpret_cast<uint32_t*>(owner_->arena(0) + 32768); }

  Owner* const owner_;
  Guest guest_;
  int32_t rounds_ = 0;
};

TEST_F(DisturbanceTest, SlowCalls_IsolatedAndEveryAnswerOnce) {
  Owner owner({.vm_id = kVm});
  ASSERT_TRUE(owner.Attach(socket()));
  StartStream();
  ExactlyOnce once(&owner);
  std::atomic<bool> crowded{false};
  std::unique_ptr<Crowd> crowd;
  std::thread gathers([&] {
    crowd = std::make_unique<Crowd>(owner.doorbells(0).call.get());
    crowded = true;
  });
  const auto isolated = [this] {
    return daemon_->Log().find("VM 2 (uid") != std::string::npos &&
           daemon_->Log().find("is served apart") != std::string::npos;
  };
  const TimePoint deadline = Clock::now() + kPatience / 2;
  for (int after = 0; after < 100 && !HasFailure(); after += crowded && isolated() ? 1 : 0) {
    for (int i = 0; i < 10 && !HasFailure(); ++i) once.Round();
    if (Clock::now() > deadline) break;
  }
  gathers.join();
  if (crowd->waiters() < 10'000)
    GTEST_SKIP() << crowd->waiters() << " waiters only: this process may have too few descriptors";
  EXPECT_TRUE(isolated()) << daemon_->Log();
  EXPECT_EQ(daemon_->StatusNumber("/vms/1/rings/0/answered"), once.requests());
  EXPECT_EQ(daemon_->StatusText("/vms/1/state"), "attached");
  stream_->AwaitMore(100);
}

// Submits without a look at answers, until it is fenced for it.
void SubmitUntilFenced(Owner* owner) {
  const auto ring = owner->ring(0);
  const uint32_t epoch = vgpu_word_seq(RealMemory::LoadAcquire(ring.epoch_ack));
  const uint64_t count = owner->layout().arena_bytes / 4;  // in pieces: no answer comes soon
  const auto fenced = [&] {
    return vgpu_word_data(RealMemory::LoadAcquire(ring.epoch_ack)) == VGPU_EPOCH_FENCED;
  };
  for (uint32_t idx = 0; !fenced();) {
    for (uint32_t i = 0; i < owner->options().entries; ++i, ++idx) {
      const uint64_t args[] = {count, 0, 0, 0};
      for (uint32_t k = 0; k < 4; ++k) RealMemory::StoreRelaxed(ring.arg(idx, k), args[k]);
      RealMemory::StoreRelease(ring.submit(idx),
                               vgpu_submit_word(VGPU_OP_VECTOR_ADD, 0, ring.tag(epoch, idx)));
    }
    owner->Kick(0);
    ASSERT_TRUE(Eventually(
        [&] { return fenced() || __atomic_load_n(&owner->journal()->cons, __ATOMIC_ACQUIRE) == idx; }));
  }
}

// The call that tells a guest of its fence is slow, too: whoever is reset after it is served again, apart.
// Several of them, since a call that is slow while the machine runs something else
// is not held against anybody.
TEST_F(DisturbanceTest, SlowCallOfAFence_ServedAgainAfterAReset) {
  StartStream();
  std::vector<std::unique_ptr<Owner>> owners;
  std::vector<std::unique_ptr<Crowd>> crowds;
  for (uint32_t i = 0; i < 8; ++i) {
    owners.push_back(std::make_unique<Owner>(OwnerOptions{.vm_id = kVm + i, .entries = 4}));
    ASSERT_TRUE(owners.back()->Attach(socket()));
    Guest(owners.back().get(), 0).Open();
    crowds.push_back(std::make_unique<Crowd>(owners.back()->doorbells(0).call.get(), 30));
  }
  for (const auto& owner : owners) SubmitUntilFenced(owner.get());
  for (const auto& owner : owners) {
    EXPECT_EQ(ExpectState(&owner->peer()).ring_state, VGPU_RING_STATE_FENCED);
    owner->peer().Send(VGPU_MSG_RESET);
    EXPECT_EQ(ExpectState(&owner->peer()).ring_state, VGPU_RING_STATE_ATTACHED);
    owner->peer().Expect(VGPU_MSG_RESET_DONE);
    Guest guest(owner.get(), 0);
    guest.Open();
    if (HasFailure()) return;
    EXPECT_EQ(guest.Ask(guest.Add(5, 6)).data, 11u);
  }
  stream_->AwaitMore(100);
}

}  // namespace
}  // namespace vgpu::test
