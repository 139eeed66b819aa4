// SPDX-License-Identifier: Apache-2.0
// The real daemon under connections that do the right thing, or nearly so, in a random order, several at a
// time; an honest guest beside them notices nothing, and nothing is left of them.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "api/vector.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

constexpr uint32_t kHonestVm = 1000;
constexpr size_t kConnections = 6;
constexpr int kSteps = 6000;

// One connection after the other, each with an owner of its own; several of them claim the same VM.
class RandomPeer {
 public:
  RandomPeer(std::string socket, uint32_t vm_id, uint64_t seed)
      : socket_(std::move(socket)),
        random_(seed),
        owner_({.vm_id = vm_id, .rings = 2, .entries = 16, .region_bytes = 64 << 10}) {}

  void Step() {
    if (peer_ == nullptr || !peer_->connected()) {
      peer_ = std::make_unique<Peer>(socket_);
      next_ = 0;
      return;
    }
    // What comes next in a right attach, or in one case of eight something else.
    const uint32_t act = random_() % 8 != 0 ? next_++ : static_cast<uint32_t>(random_() % 16);
    if (!Act(act)) peer_.reset();
    Drain();
  }

 private:
  // False: this connection is over.
  bool Act(uint32_t act) {
    switch (act) {
      case 0: return Hello();
      case 1:
        return peer_->Send(VGPU_MSG_ATTACH, Bytes(MaybeWrong(owner_.Claim())),
                           MaybeWrong(owner_.AttachFds()));
      case 2: return Ring(0);
      case 3: return Ring(1);
      case 4: return peer_->Send(VGPU_MSG_START);
      case 5: return Scribble();
      case 6: return peer_->Send(VGPU_MSG_RESET);
      case 7: return peer_->Send(VGPU_MSG_STATUS);
      case 8: return Scribble();
      case 9: return random_() % 2 == 0 && peer_->Send(VGPU_MSG_DETACH);
      case 10: return false;  // gone without a word
      case 11: return peer_->Send(VGPU_MSG_RESET) && false;
      case 12: return peer_->Send(static_cast<uint32_t>(random_() % 20), std::string(random_() % 64, 'x'));
      case 13: return peer_->SendBytes(Rubbish());
      case 14: return Ring(static_cast<uint32_t>(random_() % 4));
      default: return shutdown(peer_->fd(), SHUT_WR) == 0;
    }
  }

  bool Hello() {
    const uint32_t version = random_() % 16 == 0 ? static_cast<uint32_t>(random_()) : VGPU_ABI_VERSION;
    const vgpu_msg_hello hello{version, static_cast<uint32_t>(random_() % 4)};
    return peer_->Send(VGPU_MSG_HELLO, Bytes(hello));
  }

  bool Ring(uint32_t q) {
    const vgpu_msg_ring ring{q, 0};
    return peer_->Send(VGPU_MSG_RING, Bytes(ring), MaybeWrong(owner_.RingFds(q % 2)));
  }

  vgpu_msg_attach MaybeWrong(vgpu_msg_attach claim) {
    if (random_() % 8 == 0)
      reinterpret_cast<uint32_t*>(&claim)[random_() % 8] = static_cast<uint32_t>(random_() % 70);
    return claim;
  }

  std::vector<int> MaybeWrong(std::vector<int> fds) {
    if (random_() % 8 != 0) return fds;
    if (random_() % 2 == 0) fds.push_back(fds.front());
    if (random_() % 2 == 0) fds.pop_back();
    if (!fds.empty()) std::swap(fds.front(), fds[random_() % fds.size()]);
    return fds;
  }

  std::string Rubbish() {
    std::string bytes(1 + random_() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

  // A guest at work on both rings: opens, submits, overtakes itself, kicks.
  bool Scribble() {
    for (int i = 0; i < 100; ++i) {
      const auto ring = owner_.ring(static_cast<uint32_t>(random_() % 2));
      const uint32_t idx = static_cast<uint32_t>(random_() % 40);
      const uint32_t epoch = 1 + static_cast<uint32_t>(random_() % 3);
      if (random_() % 20 == 0)
        ring::RealMemory::StoreRelease(ring.epoch_req, vgpu_word(random_() % 2, epoch));
      for (uint32_t arg = 0; arg < 4; ++arg)
        ring::RealMemory::StoreRelaxed(ring.arg(idx, arg), random_() % 4000 * 8);
      const uint32_t opcode = random_() % 2 == 0 ? VGPU_OP_VECTOR_ADD : VGPU_OP_ADD;
      const uint32_t acked = vgpu_word_seq(ring::RealMemory::LoadAcquire(ring.epoch_ack));
      ring::RealMemory::StoreRelease(ring.submit(idx), vgpu_submit_word(opcode, 0, ring.tag(acked, idx)));
    }
    for (uint32_t q = 0; q < 3; ++q) owner_.Kick(q);
    return true;
  }

  // Reads what came, so that this side is never the one that does not.
  void Drain() {
    char bytes[4096];
    while (peer_ != nullptr && recv(peer_->fd(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  }

  const std::string socket_;
  std::mt19937_64 random_;
  Owner owner_;
  std::unique_ptr<Peer> peer_;
  uint32_t next_ = 0;
};

TEST(SequenceTest, RandomConversations_NobodyElseNotices) {
  const uint64_t seed = TestSeed();
  const TempFolder folder;
  Daemon daemon({.socket = folder / "socket", .flags = {"--log-level", "error"}, .log = folder / "log"});
  ASSERT_TRUE(daemon.Serving()) << daemon.Log();
  Owner honest({.vm_id = kHonestVm});
  ASSERT_TRUE(honest.Attach(daemon.socket()));
  Guest guest(&honest, 0);
  guest.Open();
  const size_t memfds = daemon.MappedMemfds();
  {
    std::vector<std::unique_ptr<RandomPeer>> peers;
    for (size_t i = 0; i < kConnections; ++i) {
      peers.push_back(
          std::make_unique<RandomPeer>(daemon.socket(), 1 + static_cast<uint32_t>(i / 2), seed + i));
    }
    std::mt19937_64 random(seed);
    uint64_t attached = 0;
    for (int step = 0; step < kSteps; ++step) {
      peers[random() % kConnections]->Step();
      if (step % 50 != 0) continue;
      ASSERT_TRUE(daemon.Running()) << daemon.Log();
      ASSERT_EQ(guest.Ask(guest.Add(step, 1)).data, static_cast<uint32_t>(step + 1)) << daemon.Log();
      attached += daemon.VmCount() - 1;
    }
    EXPECT_GT(attached, 0u) << "no conversation got as far as GRANT: this test proves little";
  }
  EXPECT_TRUE(Eventually([&] { return daemon.VmCount() == 1 && daemon.MappedMemfds() == memfds; }));
  EXPECT_EQ(guest.Ask(guest.Add(20, 22)).data, 42u);
}

}  // namespace
}  // namespace vgpu::test
