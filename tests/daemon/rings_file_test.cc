// SPDX-License-Identifier: Apache-2.0
// Ring lines in a small file of their own: whatever the owner does to the arenas, the thread that serves
// rings never meets it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "base/sanitized.h"
#include "base/unique_fd.h"
#include "ring/regs.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLong = 16 * kMiB;  // a file of which no hole may meet the thread that serves rings
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << "says: " << (text)

void Punch(int fd, uint64_t bytes) {
  ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)), 0);
}

base::UniqueFd Memfd(uint64_t bytes, int seals) {
  base::UniqueFd fd(memfd_create("vgpu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

// Page faults of the thread of this name, that of a process. A page that is missing is one.
uint64_t FaultsOf(pid_t pid, const std::string& name) {
  const std::filesystem::path tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    if (ReadFile(task.path() / "comm") != name + "\n") continue;
    const std::string stat = ReadFile(task.path() / "stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::string field;
    for (int i = 3; i <= 10; ++i) fields >> field;  // minflt
    return std::stoull(field);
  }
  ADD_FAILURE() << "no thread " << name;
  return 0;
}

// The answer, or that the VM is fenced: a look at its memory may find the hole before a request does.
ring::Answer AnswerOrFence(Owner* owner, Guest* guest, uint32_t idx) {
  const auto fenced = [owner] {
    return vgpu_word_data(ring::RealMemory::LoadAcquire(owner->ring(0).epoch_ack)) == VGPU_EPOCH_FENCED;
  };
  guest->Flush();
  ring::Answer answer{VGPU_ERR_FENCED, 0};
  EXPECT_TRUE(Eventually([&] { return guest->producer().Take(idx, &answer) || fenced(); }));
  return answer;
}

class RingsFileTest : public testing::Test {
 protected:
  void SetUp() override { Start(); }
  void TearDown() override {
    EXPECT_TRUE(daemon_->Running());
    if (HasFailure()) std::printf("the daemon says:\n%s", daemon_->Log().c_str());
  }

  void Start() {
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.socket = folder_ / "socket", .flags = {"--backend", "cpu"}, .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
  }
  const std::string& socket() const { return daemon_->socket(); }

  std::string AttachError(const Owner& owner, const std::vector<int>& fds) {
    Peer peer(socket());
    peer.Hello(VGPU_ROLE_PROCESS);
    peer.Send(VGPU_MSG_ATTACH, Bytes(owner.Claim()), fds);
    for (uint32_t q = 0; q < owner.options().rings; ++q) {
      const vgpu_msg_ring ring{q, 0};
      peer.Send(VGPU_MSG_RING, Bytes(ring), owner.RingFds(q));
    }
    peer.Send(VGPU_MSG_START);
    return peer.ExpectError();
  }

  const TempFolder folder_;
  std::unique_ptr<Daemon> daemon_;
};

// ---- what is taken ----

TEST_F(RingsFileTest, Wrong_RefusedAndNamed) {
  const Owner owner({.region_bytes = kLong});
  const std::vector<int> right = owner.AttachFds();
  ASSERT_EQ(right.size(), 5u);
  const uint64_t bytes = vgpu_rings_bytes(&owner.layout());
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const base::UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  const base::UniqueFd unsealed = Memfd(bytes, 0), short_one = Memfd(bytes - VGPU_PAGE_BYTES, kSeals),
                       long_one = Memfd(2 * bytes, kSeals), sparse = Memfd(bytes, kSeals);
  const struct {
    int fd;
    const char* says;
  } cases[] = {{unsealed.get(), "the rings file: the shared memory is not sealed"},
               {short_one.get(), "the rings file: the shared memory has"},
               {long_one.get(), "the rings file: the shared memory has"},
               {sparse.get(), "the region or its rings file: it has pages that are not present"},
               {reader.get(), "the rings file: the shared memory is not a memfd"},
               {right[1], "the rings file: the shared memory is not a memfd"},
               {right[3], "the region and the rings file are the same memory"},
               {right[0], "the private file and the rings file are the same memory"}};
  for (const auto& [fd, says] : cases) {
    EXPECT_SAYS(AttachError(owner, {right[0], right[1], right[2], right[3], fd}), says);
  }
  EXPECT_EQ(daemon_->VmCount(), 0u);
}

TEST_F(RingsFileTest, RingOff_TakesNone) {
  const Owner owner({.rings = 0});
  std::vector<int> fds = owner.AttachFds();
  const Owner other({.region_bytes = kLong});
  fds.push_back(other.rings_fd());
  EXPECT_SAYS(AttachError(owner, fds), "ATTACH came with 4 descriptors instead of 3");
}

TEST_F(RingsFileTest, OfAnotherVm_Refused) {
  Owner first({.vm_id = 1, .region_bytes = kLong});
  ASSERT_TRUE(first.Attach(socket()));
  const Owner second({.vm_id = 2, .region_bytes = kLong});
  std::vector<int> fds = second.AttachFds();
  fds[4] = first.rings_fd();
  EXPECT_SAYS(AttachError(second, fds), "is attached already, as that of VM 1");
  fds = second.AttachFds();
  fds[3] = first.rings_fd();  // whatever it is called
  EXPECT_SAYS(AttachError(second, fds), "is attached already, as that of VM 1");
}

TEST_F(RingsFileTest, MediatorKilled_TheSameFilesAttachAgainAndTheRingGoesOn) {
  Owner owner({.region_bytes = kLong});
  ASSERT_TRUE(owner.Attach(socket()));
  Guest guest(&owner, 0);
  guest.Open();
  ASSERT_EQ(guest.Ask(guest.Add(1, 2)).data, 3u);
  daemon_->Kill();
  const uint32_t asked = guest.Add(3, 4);
  guest.Flush();
  Start();
  ASSERT_TRUE(owner.Attach(socket()));
  ring::Answer answer{};
  ASSERT_EQ(guest.Await(asked, &answer), Outcome::kDone);
  EXPECT_EQ(answer.data, 7u);
  EXPECT_EQ(daemon_->StatusText("/vms/0/why_apart"), "");
}

// ---- where it is served ----

TEST_F(RingsFileTest, LongRegionWithoutOne_IsolatedAndStatusAndLogSayWhy) {
  Owner owner({.vm_id = 7, .region_bytes = kLong, .rings_file = false});
  ASSERT_EQ(owner.AttachFds().size(), 4u);
  ASSERT_TRUE(owner.Attach(socket()));
  Guest guest(&owner, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Add(3, 4)).data, 7u);
  const ring::Answer vector = guest.Ask(guest.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {16, 0, 4096, 8192}));
  EXPECT_EQ(vector.code, VGPU_OK);
  EXPECT_SAYS(daemon_->StatusText("/vms/0/why_apart"), "its ring lines lie in a file of 16 MiB");
  EXPECT_SAYS(daemon_->Log(), "VM 7 (uid");
  EXPECT_SAYS(daemon_->Log(), "is served apart from the others: its ring lines lie in a file of 16 MiB");
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/stalls"), 0u);
  EXPECT_EQ(daemon_->StatusNumber("/loop/requests"), 0u) << "of the common lane";
}

TEST_F(RingsFileTest, ShortRegionWithoutOne_AndLongRegionWithOne_ServedWithEverybody) {
  const OwnerOptions cases[] = {{.vm_id = 1, .region_bytes = kMiB, .rings_file = false},
                                {.vm_id = 2, .region_bytes = kLong}};
  uint64_t served = 0;
  for (const OwnerOptions& options : cases) {
    Owner owner(options);
    ASSERT_TRUE(owner.Attach(socket()));
    Guest guest(&owner, 0);
    guest.Open();
    EXPECT_EQ(guest.Ask(guest.Add(3, 4)).data, 7u);
    EXPECT_EQ(daemon_->StatusText("/vms/0/why_apart"), "");
    EXPECT_EQ(daemon_->StatusNumber("/loop/requests"), ++served);
    owner.Hangup();
    ASSERT_TRUE(Eventually([this] { return daemon_->VmCount() == 0; }));
  }
}

// ---- holes ----

TEST_F(RingsFileTest, HoleInIt_FencedUntilItAttachesAgain) {
  Owner owner({.region_bytes = kLong});
  ASSERT_TRUE(owner.Attach(socket()));
  Guest guest(&owner, 0);
  guest.Open();
  ASSERT_EQ(guest.Ask(guest.Add(1, 2)).data, 3u);
  Punch(owner.rings_fd(), vgpu_rings_bytes(&owner.layout()));
  owner.Kick(0);
  const Message message = owner.peer().Expect(VGPU_MSG_STATE);
  vgpu_msg_state state{};
  ASSERT_EQ(message.payload.size(), sizeof state);
  std::memcpy(&state, message.payload.data(), sizeof state);
  EXPECT_EQ(state.ring_state, VGPU_RING_STATE_FENCED);
}

// All of the region's file vanishes while requests of every kind run. Those that touch the arena fence their
// VM, and whoever touched it was a worker: the thread that serves rings has not missed a single page.
TEST_F(RingsFileTest, RegionPunchedUnderRequests_TheThreadThatServesRingsMeetsNothing) {
  Owner honest({.vm_id = 1});
  ASSERT_TRUE(honest.Attach(socket()));
  Guest victim(&honest, 0);
  victim.Open();
  std::atomic<bool> stop{false};
  std::thread stream([&] {
    for (int32_t i = 0; !stop && !HasFailure(); i = (i + 1) % 1'000'000) {
      EXPECT_EQ(victim.Ask(victim.Add(i, 1)).data, static_cast<uint32_t>(i + 1));
    }
  });
  constexpr uint32_t kVms = 16;
  uint64_t before = 0;
  // The first one is for what the thread itself has not touched yet.
  for (uint32_t i = 0; i <= kVms && !HasFailure(); ++i) {
    if (i == 1) before = FaultsOf(daemon_->pid(), "vgpu-ring");
    Owner owner({.vm_id = 100 + i, .region_bytes = kLong});
    EXPECT_TRUE(owner.Attach(socket()));
    Guest guest(&owner, 0);
    guest.Open();
    std::thread puncher([&] { Punch(owner.region_fd(), kLong); });
    ring::Answer answer{};
    for (uint64_t off = 0; answer.code == VGPU_OK && !HasFailure(); off = (off + 4096) % kMiB) {
      AnswerOrFence(&owner, &guest, guest.Add(1, 2));
      const uint32_t idx = i % 2 == 0 ? guest.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1024, off, off, off})
                                      : guest.Stage(VGPU_OP_DEVICE_INFO, 0, {off, sizeof(vgpu_device_info)});
      answer = AnswerOrFence(&owner, &guest, idx);
    }
    puncher.join();
    EXPECT_EQ(answer.code, VGPU_ERR_FENCED) << "of VM " << 100 + i;
    EXPECT_EQ(daemon_->StatusText("/vms/1/why_apart"), "") << "it stays on the common lane";
    owner.Hangup();
    EXPECT_TRUE(Eventually([this] { return daemon_->VmCount() == 1; }));
  }
  if (!base::kSanitized) {  // a sanitizer's own memory beside that of each VM is missed, too
    EXPECT_LT(FaultsOf(daemon_->pid(), "vgpu-ring") - before, kVms) << "each VM had a hole";
  }
  stop = true;
  stream.join();
}

}  // namespace
}  // namespace vgpu::test
