// SPDX-License-Identifier: Apache-2.0
// The control socket, used wrongly: each mistake gets a sentence that names it,
// and the other guests notice nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <string>

#include "api/codes.h"
#include "api/device_info.h"
#include "base/unique_fd.h"
#include "ring/regs.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

constexpr uint32_t kHonestVm = 1;
constexpr uint32_t kVm = 2;

base::UniqueFd Memfd(uint64_t bytes, int seals) {
  base::UniqueFd fd(memfd_create("vgpu-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

class ControlTest : public testing::Test {
 protected:
  void SetUp() override { StartWith({}); }

  void StartWith(std::vector<std::string> flags) {
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.socket = folder_ / "socket", .flags = std::move(flags), .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
    honest_ = std::make_unique<Owner>(OwnerOptions{.vm_id = kHonestVm});
    ASSERT_TRUE(honest_->Attach(socket())) << daemon_->Log();
    guest_ = std::make_unique<Guest>(honest_.get(), 0);
    guest_->Open();
    ASSERT_TRUE(Eventually([this] { return !Changed(&descriptors_, daemon_->Descriptors()); }));
    memfds_ = daemon_->MappedMemfds();
  }

  // Whatever happened: the daemon runs, the honest guest is served, and nothing was leaked.
  void TearDown() override {
    ASSERT_TRUE(daemon_->Running()) << daemon_->Log();
    EXPECT_EQ(guest_->Ask(guest_->Add(3, 4)).data, 7u);
    EXPECT_TRUE(Eventually([this] { return daemon_->Descriptors() <= descriptors_; }))
        << daemon_->Descriptors() << " descriptors, " << descriptors_ << " at first";
    EXPECT_TRUE(Eventually([this] { return daemon_->MappedMemfds() <= memfds_; }));
  }

  const std::string& socket() const { return daemon_->socket(); }

  // The error that an attach with these descriptors and this claim gets.
  std::string AttachError(const vgpu_msg_attach& claim, const std::vector<int>& fds,
                          uint32_t* code = nullptr) {
    Peer peer(socket());
    peer.Hello(VGPU_ROLE_DEVICE);
    peer.Send(VGPU_MSG_ATTACH, Bytes(claim), fds);
    for (uint32_t q = 0; q < claim.ring_count && q < owner_.options().rings; ++q) {
      const vgpu_msg_ring ring{q, 0};
      peer.Send(VGPU_MSG_RING, Bytes(ring), owner_.RingFds(q));
    }
    peer.Send(VGPU_MSG_START);
    return peer.ExpectError(code);
  }

  static bool Changed(size_t* last, size_t now) {
    const bool changed = *last != now;
    *last = now;
    return changed;
  }

  const TempFolder folder_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Owner> honest_;
  std::unique_ptr<Guest> guest_;
  Owner owner_{{.vm_id = kVm}};
  size_t descriptors_ = 0;
  size_t memfds_ = 0;
};

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << "says: " << (text)

// ---- versions and framing ----

TEST_F(ControlTest, AbiOfAnotherVersion_NamesBoth) {
  Peer peer(socket());
  const vgpu_msg_hello hello{0x00020003, VGPU_ROLE_DEVICE};
  peer.Send(VGPU_MSG_HELLO, Bytes(hello));
  uint32_t code;
  const std::string text = peer.ExpectError(&code);
  EXPECT_EQ(code, VGPU_ERR_UNSUPPORTED);
  EXPECT_SAYS(text, "2.3");
  EXPECT_SAYS(text, "1.0");
}

TEST_F(ControlTest, AbiOfALaterMinorVersion_Welcome) {
  Peer peer(socket());
  const vgpu_msg_hello hello{VGPU_ABI_VERSION + 9, VGPU_ROLE_DEVICE};
  peer.Send(VGPU_MSG_HELLO, Bytes(hello));
  const Message answer = peer.Expect(VGPU_MSG_HELLO);
  vgpu_msg_hello ours{};
  ASSERT_EQ(answer.payload.size(), sizeof ours);
  std::memcpy(&ours, answer.payload.data(), sizeof ours);
  EXPECT_EQ(ours.abi_version, VGPU_ABI_VERSION);
}

TEST_F(ControlTest, ProtocolOfAnotherVersion_NamesBoth) {
  Peer peer(socket());
  const vgpu_msg_header header{VGPU_CONTROL_MAGIC, 7, VGPU_MSG_HELLO, 8, 0};
  peer.SendBytes(Bytes(header));
  const std::string text = peer.ExpectError();
  EXPECT_SAYS(text, "version 7");
  EXPECT_SAYS(text, "instead of 1");
}

TEST_F(ControlTest, NotOurProtocol_Refused) {
  Peer peer(socket());
  peer.SendBytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_SAYS(peer.ExpectError(), "no vgpu-ring control message");
}

TEST_F(ControlTest, MessageCutOff_RefusedWhereverTheCutIs) {
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_DEVICE};
  const std::string whole = Encode(VGPU_MSG_HELLO, Bytes(hello));
  for (size_t bytes = 1; bytes < whole.size(); ++bytes) {
    Peer peer(socket());
    peer.SendBytes(whole.substr(0, bytes));
    shutdown(peer.fd(), SHUT_WR);
    EXPECT_SAYS(peer.ExpectError(), "in the middle of a message");
  }
}

TEST_F(ControlTest, TooLongAMessage_Refused) {
  Peer peer(socket());
  const vgpu_msg_header header{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, VGPU_MSG_HELLO, ~0u, 0};
  peer.SendBytes(Bytes(header));
  EXPECT_SAYS(peer.ExpectError(), "4294967295 bytes");
}

TEST_F(ControlTest, PayloadOfTheWrongSize_Refused) {
  for (const uint32_t type : {VGPU_MSG_HELLO, VGPU_MSG_ATTACH, VGPU_MSG_RING}) {
    for (const size_t bytes : {size_t{0}, size_t{3}, size_t{100}, size_t{VGPU_CONTROL_PAYLOAD_MAX}}) {
      Peer peer(socket());
      if (type != VGPU_MSG_HELLO) peer.Hello(VGPU_ROLE_DEVICE);
      peer.Send(type, std::string(bytes, '\1'));
      EXPECT_SAYS(peer.ExpectError(), "a damaged");
    }
  }
}

// ---- order ----

TEST_F(ControlTest, FirstMessageIsNoHello_Refused) {
  for (uint32_t type = 0; type < 20; ++type) {
    if (type == VGPU_MSG_HELLO) continue;
    Peer peer(socket());
    peer.Send(type);
    EXPECT_SAYS(peer.ExpectError(), "the first message must be HELLO");
  }
}

TEST_F(ControlTest, MessagesOutOfOrder_Refused) {
  const vgpu_msg_ring ring{0, 0};
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_DEVICE};
  const std::pair<std::string, std::function<void(Peer*)>> cases[] = {
      {"repeated HELLO", [&](Peer* peer) { peer->Send(VGPU_MSG_HELLO, Bytes(hello)); }},
      {"START without ATTACH", [&](Peer* peer) { peer->Send(VGPU_MSG_START); }},
      {"one without ATTACH", [&](Peer* peer) { peer->Send(VGPU_MSG_RING, Bytes(ring), owner_.RingFds(0)); }},
      {"unknown control message 99", [&](Peer* peer) { peer->Send(99); }},
      {"unknown control message 5", [&](Peer* peer) { peer->Send(VGPU_MSG_GRANT); }},
      {"before every ring has its descriptors",
       [&](Peer* peer) {
         peer->Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
         peer->Send(VGPU_MSG_START);
       }},
      {"repeated ATTACH",
       [&](Peer* peer) {
         for (int i = 0; i < 2; ++i) peer->Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
       }},
      {"RING 0 came twice",
       [&](Peer* peer) {
         peer->Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
         for (int i = 0; i < 2; ++i) peer->Send(VGPU_MSG_RING, Bytes(ring), owner_.RingFds(0));
       }},
      {"out of range",
       [&](Peer* peer) {
         const vgpu_msg_ring beyond{1, 0};
         peer->Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
         peer->Send(VGPU_MSG_RING, Bytes(beyond), owner_.RingFds(0));
       }},
  };
  for (const auto& [says, act] : cases) {
    Peer peer(socket());
    peer.Hello(VGPU_ROLE_DEVICE);
    act(&peer);
    EXPECT_SAYS(peer.ExpectError(), says);
  }
}

TEST_F(ControlTest, SecondAttachOnAnAttachedConnection_Refused) {
  ASSERT_TRUE(owner_.Attach(socket()));
  owner_.peer().Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
  EXPECT_SAYS(owner_.peer().ExpectError(), "repeated ATTACH");
}

// Connections that come and go between ATTACH and START of another one do not make it start.
TEST_F(ControlTest, HalfAnAttach_WaitsForItsRings) {
  Peer half(socket());
  half.Hello(VGPU_ROLE_DEVICE);
  half.Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
  half.Send(VGPU_MSG_STATUS);  // its answer says that ATTACH was handled
  half.Expect(VGPU_MSG_STATUS_REPLY);
  for (int i = 0; i < 5; ++i) {
    Peer other(socket());
    other.Hello(VGPU_ROLE_OPERATOR);
    other.Send(VGPU_MSG_DETACH);
    EXPECT_TRUE(other.HungUp());
  }
  ASSERT_TRUE(daemon_->Running()) << daemon_->Log();
  const vgpu_msg_ring ring{0, 0};
  half.Send(VGPU_MSG_RING, Bytes(ring), owner_.RingFds(0));
  half.Send(VGPU_MSG_START);
  half.Expect(VGPU_MSG_GRANT);
}

// ---- descriptors ----

TEST_F(ControlTest, DescriptorsMissingOrTooMany_Refused) {
  const std::vector<int> right = owner_.AttachFds();
  EXPECT_SAYS(AttachError(owner_.Claim(), {}), "0 descriptors instead of 5");
  EXPECT_SAYS(AttachError(owner_.Claim(), {right[0], right[1], right[2]}), "3 descriptors instead of 5");
  std::vector<int> many = right;
  many.push_back(right[0]);
  EXPECT_SAYS(AttachError(owner_.Claim(), many), "more than 5 descriptors");
  many.resize(64, right[1]);
  EXPECT_SAYS(AttachError(owner_.Claim(), many), "more than 5 descriptors");
}

TEST_F(ControlTest, RingWithWrongDescriptors_Refused) {
  const vgpu_msg_ring ring{0, 0};
  const std::vector<int> pair = owner_.RingFds(0);
  for (const auto& fds : {std::vector<int>{}, {pair[0]}, {pair[0], pair[1], pair[0]}}) {
    Peer peer(socket());
    peer.Hello(VGPU_ROLE_DEVICE);
    peer.Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
    peer.Send(VGPU_MSG_RING, Bytes(ring), fds);
    EXPECT_SAYS(peer.ExpectError(), std::to_string(fds.size()) + " descriptors instead of 2");
  }
}

TEST_F(ControlTest, DescriptorsWhereNoneBelong_Refused) {
  Peer peer(socket());
  peer.Hello(VGPU_ROLE_DEVICE);
  peer.Send(VGPU_MSG_STATUS, {}, {owner_.AttachFds()[0]});
  EXPECT_SAYS(peer.ExpectError(), "descriptors with a message that takes none");
}

TEST_F(ControlTest, DoorbellThatIsNoEventfd_Refused) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const base::UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  const base::UniqueFd file(open("/dev/zero", O_RDWR | O_CLOEXEC));
  const std::vector<int> right = owner_.AttachFds();
  for (const int wrong : {reader.get(), writer.get(), file.get(), right[3]}) {
    EXPECT_SAYS(AttachError(owner_.Claim(), {right[0], wrong, right[2], right[3]}), "no eventfd");
    EXPECT_SAYS(AttachError(owner_.Claim(), {right[0], right[1], wrong, right[3]}), "no eventfd");
    for (const auto& fds : {std::vector<int>{wrong, right[1]}, {right[1], wrong}}) {
      Peer peer(socket());
      peer.Hello(VGPU_ROLE_DEVICE);
      peer.Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), right);
      const vgpu_msg_ring ring{0, 0};
      peer.Send(VGPU_MSG_RING, Bytes(ring), fds);
      EXPECT_SAYS(peer.ExpectError(), "no eventfd");
    }
  }
}

// ---- memory ----

TEST_F(ControlTest, RegionOfTheWrongKind_Refused) {
  const uint64_t bytes = owner_.options().region_bytes;
  const std::vector<int> right = owner_.AttachFds();
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const base::UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  const base::UniqueFd file(open((folder_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
  const struct {
    base::UniqueFd fd;
    const char* says;
  } cases[] = {{Memfd(bytes, 0), "not sealed"},
               {Memfd(bytes, F_SEAL_SHRINK | F_SEAL_GROW), "not sealed"},
               {Memfd(bytes, F_SEAL_GROW | F_SEAL_SEAL), "not sealed"},
               {Memfd(bytes, kSeals | F_SEAL_WRITE), "sealed against writing"},
               {Memfd(bytes / 2, kSeals), "not the 1048576 announced"},
               {Memfd(bytes * 2, kSeals), "not the 1048576 announced"},
               {Memfd(0, kSeals), "not the 1048576 announced"},
               {base::UniqueFd(dup(reader.get())), "not a memfd"},
               {base::UniqueFd(dup(file.get())), "not"},
               {base::UniqueFd(dup(right[1])), "not a memfd"}};
  for (const auto& [fd, says] : cases) {
    const std::string region = AttachError(owner_.Claim(), {right[0], right[1], right[2], fd.get()});
    EXPECT_SAYS(region, "the region");
    EXPECT_SAYS(region, says);
    const std::string file_text = AttachError(owner_.Claim(), {fd.get(), right[1], right[2], right[3]});
    EXPECT_SAYS(file_text, "the private file");
  }
}

TEST_F(ControlTest, ImpossibleClaims_Refused) {
  const struct {
    void (*lie)(vgpu_msg_attach*);
    uint32_t code;
    const char* says;
  } cases[] = {
      {[](vgpu_msg_attach* c) { c->region_bytes = (1 << 20) + 4096; }, VGPU_ERR_INVALID_REQUEST,
       "power of two"},
      {[](vgpu_msg_attach* c) { c->region_bytes = 0; }, VGPU_ERR_INVALID_REQUEST, "power of two"},
      {[](vgpu_msg_attach* c) { c->region_bytes = 1ull << 63; }, VGPU_ERR_INVALID_REQUEST, "power of two"},
      {[](vgpu_msg_attach* c) { c->region_bytes = 32 << 10; }, VGPU_ERR_INVALID_REQUEST, "power of two"},
      {[](vgpu_msg_attach* c) { c->ring_count = 9; }, VGPU_ERR_INVALID_REQUEST, "9 rings"},
      {[](vgpu_msg_attach* c) { c->ring_count = ~0u; }, VGPU_ERR_INVALID_REQUEST, "rings"},
      {[](vgpu_msg_attach* c) { c->entries = 63; }, VGPU_ERR_INVALID_REQUEST, "63 entries"},
      {[](vgpu_msg_attach* c) { c->entries = 0; }, VGPU_ERR_INVALID_REQUEST, "0 entries"},
      {[](vgpu_msg_attach* c) { c->entries = 8192; }, VGPU_ERR_INVALID_REQUEST, "8192 entries"},
      {[](vgpu_msg_attach* c) { c->pool = 'C'; }, VGPU_ERR_INVALID_POOL, "neither A nor B"},
      {[](vgpu_msg_attach* c) { c->pool = 'A' | 0x100; }, VGPU_ERR_INVALID_POOL, "neither A nor B"},
      {[](vgpu_msg_attach* c) { c->priority = 3; }, VGPU_ERR_INVALID_REQUEST, "priority 3"},
  };
  for (const auto& [lie, expected, says] : cases) {
    vgpu_msg_attach claim = owner_.Claim();
    lie(&claim);
    uint32_t code = VGPU_OK;
    EXPECT_SAYS(AttachError(claim, owner_.AttachFds(), &code), says);
    EXPECT_EQ(code, expected);
  }
}

TEST_F(ControlTest, RegionWithoutRings_Refused) {
  vgpu_msg_attach claim = owner_.Claim();
  claim.ring_count = claim.entries = 0;
  const std::vector<int> fds = owner_.AttachFds();
  EXPECT_SAYS(AttachError(claim, {fds[0], fds[1], fds[2]}), "a region without rings");
}

// ---- who may attach ----

TEST_F(ControlTest, DuplicateVm_RefusedAndTheFirstGoesOn) {
  Owner twin({.vm_id = kHonestVm});
  Peer peer(socket());
  twin.SendAttach(&peer);
  peer.Expect(VGPU_MSG_HELLO);
  EXPECT_SAYS(peer.ExpectError(), "VM 1 is attached already");
}

class ConfiguredVmsTest : public ControlTest {
 protected:
  void SetUp() override {
    const std::string config = folder_ / "config.toml";
    WriteFile(config,
              "[[vm]]\nid = 1\n[[vm]]\nid = 2\npool = \"B\"\npriority = \"high\"\n"
              "[limits]\nvms_max = 2\nregion_bytes_max = 1048576\n");
    StartWith({"--config", config});
  }
};

TEST_F(ConfiguredVmsTest, UnknownVm_Refused) {
  Owner other({.vm_id = 77});
  Peer peer(socket());
  other.SendAttach(&peer);
  peer.Expect(VGPU_MSG_HELLO);
  EXPECT_SAYS(peer.ExpectError(), "VM 77 is not in the mediator's configuration");
}

TEST_F(ConfiguredVmsTest, Claim_IsOverruled) {
  Owner owner({.vm_id = 2, .pool = 'A', .priority = 0});
  const auto grant = owner.Attach(socket());
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->vm_id, 2u);
  EXPECT_EQ(grant->pool, static_cast<uint32_t>('B'));
  EXPECT_EQ(grant->priority, 2u);
  EXPECT_EQ(daemon_->StatusText("/vms/1/priority"), "high");
  Guest guest(&owner, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Stage(VGPU_OP_DEVICE_INFO, 0, {0, sizeof(vgpu_device_info)})).code, VGPU_OK);
  vgpu_device_info info;
  std::memcpy(&info, owner.arena(0), sizeof info);
  EXPECT_EQ(info.pool, static_cast<uint32_t>('B'));
  EXPECT_EQ(info.priority, 2u);
  EXPECT_EQ(info.vm_id, 2u);
}

TEST_F(ConfiguredVmsTest, RegionAboveTheLimit_Refused) {
  Owner large({.vm_id = 2, .region_bytes = 2 << 20});
  Peer peer(socket());
  large.SendAttach(&peer);
  peer.Expect(VGPU_MSG_HELLO);
  uint32_t code;
  EXPECT_SAYS(peer.ExpectError(&code), "limits.region_bytes_max");
  EXPECT_EQ(code, VGPU_ERR_TOO_LARGE);
}

TEST_F(ControlTest, MoreVmsThanAllowed_Refused) {
  TearDown();
  daemon_->Kill();
  const std::string config = folder_ / "config.toml";
  WriteFile(config, "[limits]\nvms_max = 1\n");
  StartWith({"--config", config});
  Peer peer(socket());
  owner_.SendAttach(&peer);
  peer.Expect(VGPU_MSG_HELLO);
  EXPECT_SAYS(peer.ExpectError(), "limits.vms_max");
}

// Everything that is not attached yet and has fallen silent: after a greeting,
// within an attach, within a message.
TEST_F(ControlTest, SilentForTooLong_HungUpOnUnlessAttached) {
  TearDown();
  daemon_->Kill();
  const std::string config = folder_ / "config.toml";
  WriteFile(config, "[limits]\nsilent_s = 1\n");
  StartWith({"--config", config});
  Peer mute(socket()), greeted(socket()), half(socket()), without_start(socket());
  greeted.Hello(VGPU_ROLE_OPERATOR);
  half.Hello(VGPU_ROLE_DEVICE);
  half.SendBytes(Encode(VGPU_MSG_ATTACH, Bytes(owner_.Claim())).substr(0, 20), owner_.AttachFds());
  without_start.Hello(VGPU_ROLE_DEVICE);
  without_start.Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
  for (Peer* peer : {&mute, &greeted, &half, &without_start}) {
    uint32_t code = VGPU_OK;
    EXPECT_SAYS(peer->ExpectError(&code), "nothing was heard for 1 s");
    EXPECT_EQ(code, VGPU_ERR_TIMEOUT);
  }
  EXPECT_TRUE(owner_.Attach(socket())) << "the id of the half attach is free";
  EXPECT_EQ(daemon_->VmCount(), 2u) << "the honest one, which has been silent for as long";
  owner_.Hangup();
  EXPECT_TRUE(Eventually([this] { return daemon_->VmCount() == 1; }));
}

// ---- the operator ----

TEST_F(ControlTest, Status_CountsWhatTheGuestDid) {
  ASSERT_EQ(daemon_->VmCount(), 1u);
  const uint64_t before = daemon_->StatusNumber("/vms/0/rings/0/answered");
  for (int i = 0; i < 10; ++i) guest_->Ask(guest_->Add(i, i));
  guest_->Ask(guest_->Stage(99));
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/rings/0/answered"), before + 11);
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/rings/0/taken"), before + 11);
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/rings/0/refused"), 1u);
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/queue_wait_ns/count"), before + 11);
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/service_ns/count"), before + 11);
  EXPECT_EQ(daemon_->StatusNumber("/vms/0/vm_id"), kHonestVm);
  EXPECT_EQ(daemon_->StatusText("/vms/0/pool"), "A");
  EXPECT_EQ(daemon_->StatusText("/vms/0/priority"), "medium");
  EXPECT_EQ(daemon_->StatusText("/vms/0/state"), "attached");
  EXPECT_EQ(daemon_->StatusText("/vms/0/rings/0/phase"), "open");
  EXPECT_EQ(daemon_->StatusText("/vms/0/rings/1/ring"), "window");
  EXPECT_EQ(daemon_->StatusNumber("/pid"), static_cast<uint64_t>(daemon_->pid()));
  EXPECT_EQ(daemon_->StatusText("/backend"), "cpu");
}

// ---- leaving ----

TEST_F(ControlTest, Detach_ClosesWhenTheMemoryIsUnmapped) {
  ASSERT_TRUE(owner_.Attach(socket()));
  EXPECT_GT(daemon_->MappedMemfds(), memfds_);
  owner_.peer().Send(VGPU_MSG_DETACH);
  EXPECT_TRUE(owner_.peer().HungUp());
  EXPECT_EQ(daemon_->MappedMemfds(), memfds_);
}

TEST_F(ControlTest, AttachWhileTheOldSessionEnds_Waits) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(owner_.Attach(socket())) << "round " << i << daemon_->Log();
    owner_.Hangup();
  }
}

TEST_F(ControlTest, ResetAndGoneAtOnce_SurvivedManyTimes) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(owner_.Attach(socket())) << "round " << i << daemon_->Log();
    owner_.peer().Send(VGPU_MSG_RESET);
    owner_.Hangup();
  }
}

TEST_F(ControlTest, GoneInTheMiddleOfAnAttach_SurvivedAnywhere) {
  const vgpu_msg_ring ring{0, 0};
  for (int steps = 0; steps < 5; ++steps) {
    for (int i = 0; i < 10; ++i) {
      Peer peer(socket());
      const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_DEVICE};
      if (steps > 0) peer.Send(VGPU_MSG_HELLO, Bytes(hello));
      if (steps > 1) peer.Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), owner_.AttachFds());
      if (steps > 2) peer.Send(VGPU_MSG_RING, Bytes(ring), owner_.RingFds(0));
      if (steps > 3) peer.Send(VGPU_MSG_START);
    }
  }
}

TEST_F(ControlTest, PeerThatNeverReads_IsHungUpOn) {
  Peer peer(socket());
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_OPERATOR};
  peer.Send(VGPU_MSG_HELLO, Bytes(hello));
  bool hung_up = false;
  for (int i = 0; i < 1'000'000 && !hung_up; ++i) hung_up = !peer.Send(VGPU_MSG_STATUS);
  EXPECT_TRUE(hung_up);
}

TEST_F(ControlTest, ConnectionFlood_RefusedBeyondTheLimitAndForgotten) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 1000; ++i) peers.push_back(std::make_unique<Peer>(socket()));
  EXPECT_TRUE(peers.back()->HungUp()) << "a thousand connections at once are too many";
  EXPECT_EQ(guest_->Ask(guest_->Add(1, 2)).data, 3u);
  peers.clear();
  EXPECT_TRUE(daemon_->Serving());
}

}  // namespace
}  // namespace vgpu::test
