// SPDX-License-Identifier: Apache-2.0
// Against a sysfs of our own: plain files in a folder, which can be mapped like a device's.
#include "guest/pci_transport.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "api/codes.h"
#include "base/mapping.h"
#include "base/unique_fd.h"
#include "guest/client.h"
#include "guest/temp_folder.h"
#include "ring/consumer.h"
#include "ring/epoch.h"

namespace vgpu::guest {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kRegionBytes = 1u << 20;

TimePoint Soon() { return Clock::now() + std::chrono::seconds(20); }

std::string Content(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void Write(const fs::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary) << content;
}

// While it lives, file permissions count for this thread, even if it is root's.
class PlainUser {
 public:
  PlainUser() {
    syscall(SYS_capget, &header_, before_);
    __user_cap_data_struct now[2] = {before_[0], before_[1]};
    now[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    syscall(SYS_capset, &header_, now);
  }
  ~PlainUser() { syscall(SYS_capset, &header_, before_); }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2] = {};
};

class PciTransportTest : public testing::Test {
 protected:
  void SetUp() override { unsetenv("VGPU_DEVICE"); }
  void TearDown() override { unsetenv("VGPU_DEVICE"); }

  fs::path FolderOf(const std::string& address) { return root_.path() / "bus/pci/devices" / address; }

  fs::path AddDevice(const std::string& address, const std::string& vendor, const std::string& device) {
    const fs::path folder = FolderOf(address);
    fs::create_directories(folder);
    Write(folder / "vendor", vendor + "\n");
    Write(folder / "device", device + "\n");
    Write(folder / "enable", "0\n");
    Write(folder / "config", std::string(64, '\0'));
    return folder;
  }

  // A vgpu-stub with a ring, as firmware left it: disabled.
  fs::path AddStub(const std::string& address) {
    const fs::path folder = AddDevice(address, "0x1af4", "0x1111");
    Write(folder / "resource0", std::string(VGPU_BAR0_BYTES, '\0'));
    Write(folder / "resource2", std::string(kRegionBytes, '\0'));
    bar0_ = Map(folder / "resource0", VGPU_BAR0_BYTES);
    bar2_ = Map(folder / "resource2", kRegionBytes);
    Register(VGPU_REG_PROTOCOL_VER) = VGPU_WINDOW_VERSION;
    Register(VGPU_REG_RING_CAPS) = VGPU_RING_CAPS_RING;
    Register(VGPU_REG_VM_ID) = 42;
    Register(VGPU_REG_POOL_ID) = 'B';
    Register(VGPU_REG_PRIORITY) = 2;
    EXPECT_EQ(vgpu_layout_make(kRegionBytes, 2, 8, &layout_), 0);
    vgpu_region_header_fill(header(), &layout_);
    SetState(VGPU_RING_STATE_ATTACHED);
    return folder;
  }

  static base::Mapping Map(const fs::path& file, uint64_t bytes) {
    const base::UniqueFd fd(open(file.c_str(), O_RDWR | O_CLOEXEC));
    return *base::MapShared(fd.get(), bytes);
  }
  uint32_t& Register(uint32_t off) { return reinterpret_cast<uint32_t*>(bar0_.data())[off / 4]; }
  vgpu_region_header* header() { return reinterpret_cast<vgpu_region_header*>(bar2_.data()); }
  void SetState(uint32_t state) {
    ring::RealMemory::StoreRelease(&header()->link_state, vgpu_word(state, 1));
    Register(VGPU_REG_RING_STATE) = state;
  }

  Result<std::unique_ptr<PciTransport>> Open(const std::string& device = "") {
    return PciTransport::Open({device, root_.path().string()});
  }
  void ExpectError(uint32_t code, const std::string& part, const std::string& device = "") {
    auto transport = Open(device);
    ASSERT_FALSE(transport);
    EXPECT_EQ(transport.error().code, code);
    EXPECT_NE(transport.error().text.find(part), std::string::npos) << transport.error().text;
  }

  // The register page is served all the same; a ring is not to be had, and this is why.
  void ExpectNoRegion(uint32_t code, const std::string& part) {
    auto transport = Open();
    ASSERT_TRUE(transport) << transport.error().text;
    EXPECT_EQ((*transport)->region(), nullptr);
    EXPECT_EQ((*transport)->registers()->Read(VGPU_REG_VM_ID), 42u);
    auto client = Client::Open(std::move(*transport), 0, Soon());
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().code, code) << client.error().text;
    EXPECT_NE(client.error().text.find(part), std::string::npos) << client.error().text;
  }

  const TempFolder root_;
  base::Mapping bar0_;
  base::Mapping bar2_;
  vgpu_layout layout_{};
};

TEST_F(PciTransportTest, FindsAndEnablesTheDevice) {
  AddDevice("0000:00:01.0", "0x8086", "0x1111");
  const fs::path folder = AddStub("0000:00:04.0");
  auto transport = Open();
  ASSERT_TRUE(transport) << transport.error().text;
  EXPECT_EQ(Content(folder / "enable"), "1\n");
  EXPECT_EQ(Content(folder / "config")[4], 2) << "memory decoding is on";
  EXPECT_EQ((*transport)->layout().ring_count, 2u);
  EXPECT_EQ((*transport)->identity().vm_id, 42u);
  EXPECT_EQ((*transport)->identity().pool, uint32_t{'B'});
  EXPECT_EQ((*transport)->identity().priority, 2u);
  EXPECT_EQ((*transport)->warning(), "") << "a file's pages are ordinary memory";
}

TEST_F(PciTransportTest, EnabledByTheFirmware_IsLeftAlone) {
  const fs::path folder = AddStub("0000:00:04.0");
  Write(folder / "enable", "3\n");
  Write(folder / "config", std::string("\0\0\0\0\7\1", 6) + std::string(58, '\0'));
  ASSERT_TRUE(Open());
  EXPECT_EQ(Content(folder / "enable"), "3\n");
  EXPECT_EQ(Content(folder / "config").substr(4, 2), "\7\1");
}

TEST_F(PciTransportTest, TwoDevices_FirstAddressUnlessNamed) {
  AddStub("0000:00:05.0");
  AddStub("0000:00:04.0");
  EXPECT_EQ((*Open())->description(), "PCI device 0000:00:04.0");
  EXPECT_EQ((*Open("0000:00:05.0"))->description(), "PCI device 0000:00:05.0");
  setenv("VGPU_DEVICE", "0000:00:05.0", 1);
  EXPECT_EQ((*Open())->description(), "PCI device 0000:00:05.0");
  EXPECT_EQ((*Open("0000:00:04.0"))->description(), "PCI device 0000:00:04.0");
}

TEST_F(PciTransportTest, NoDevice_SaysWhatToAdd) {
  ExpectError(VGPU_ERR_NO_DEVICE, "sysfs is not mounted");
  ExpectError(VGPU_ERR_NO_DEVICE, "no PCI device '0000:00:09.0'", "0000:00:09.0");
  AddDevice("0000:00:01.0", "0x1af4", "0x1000");
  AddDevice("0000:00:02.0", "rubbish", "");
  ExpectError(VGPU_ERR_NO_DEVICE, "-device vgpu-stub");
}

TEST_F(PciTransportTest, NamedDeviceMissing_SaysSo) {
  AddStub("0000:00:04.0");
  ExpectError(VGPU_ERR_NO_DEVICE, "no PCI device '0000:00:09.0'", "0000:00:09.0");
  ExpectError(VGPU_ERR_NO_DEVICE, "no PCI device", "../0000:00:04.0");
}

TEST_F(PciTransportTest, WrongVersionOrNotAStub_SaysSo) {
  const fs::path folder = AddStub("0000:00:04.0");
  Register(VGPU_REG_PROTOCOL_VER) = 0x00020000;
  ExpectError(VGPU_ERR_VERSION, "0x00020000");
  for (const uint32_t nothing : {UINT32_MAX, 0u}) {  // what a device without memory decoding reads
    Register(VGPU_REG_PROTOCOL_VER) = nothing;
    ExpectError(VGPU_ERR_DEVICE_GONE, "memory decoding");
  }
  Register(VGPU_REG_PROTOCOL_VER) = VGPU_WINDOW_VERSION;
  header()->abi_version = 0x00020000;
  ExpectNoRegion(VGPU_ERR_VERSION, "ABI version 2.0");
  header()->abi_version = VGPU_ABI_VERSION;
  header()->arena_off = UINT64_MAX;
  ExpectNoRegion(VGPU_ERR_VERSION, "damaged");
  fs::resize_file(folder / "resource0", 4096);
  ExpectError(VGPU_ERR_VERSION, "4096 bytes");
}

TEST_F(PciTransportTest, ResourceMissing_NamesIt) {
  const fs::path folder = AddStub("0000:00:04.0");
  fs::remove(folder / "resource2");
  ExpectNoRegion(VGPU_ERR_DEVICE_GONE, "resource2");
  fs::remove(folder / "resource0");
  ExpectError(VGPU_ERR_DEVICE_GONE, "resource0");
}

// As Linux shows BARs that neither firmware nor kernel found room for.
TEST_F(PciTransportTest, Bar2WithoutAnAddress_NamesTheCauseAndServesTheRegisterPage) {
  const fs::path folder = AddStub("0000:00:04.0");
  const std::string placed = "0x00000000fe000000 0x00000000fe00ffff 0x0000000000040200\n";
  const std::string nowhere = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
  Write(folder / "resource", placed + nowhere + nowhere + nowhere);
  fs::remove(folder / "resource2");
  ExpectNoRegion(VGPU_ERR_SYSTEM, "64-bit PCI window");
  ExpectNoRegion(VGPU_ERR_SYSTEM, "X-PciMmio64Mb");
  ExpectNoRegion(VGPU_ERR_SYSTEM, "pref64-reserve");
  ExpectNoRegion(VGPU_ERR_SYSTEM, "regs --add");
  Write(folder / "resource", nowhere + nowhere + placed + nowhere);
  ExpectError(VGPU_ERR_SYSTEM, "below 4 GiB");
}

TEST_F(PciTransportTest, NoPermission_SaysRunAsRoot) {
  const fs::path folder = AddStub("0000:00:04.0");
  const PlainUser plain_user;
  fs::permissions(folder / "resource0", fs::perms::none);
  ExpectError(VGPU_ERR_NO_PERMISSION, "resource0: run as root");
  fs::permissions(folder / "config", fs::perms::owner_read);
  ExpectError(VGPU_ERR_NO_PERMISSION, "config: run as root");
  Write(folder / "enable", "0\n");
  fs::permissions(folder / "enable", fs::perms::owner_read);
  ExpectError(VGPU_ERR_NO_PERMISSION, "enable: run as root");
  fs::permissions(root_.path() / "bus/pci/devices", fs::perms::none);
  ExpectError(VGPU_ERR_NO_PERMISSION, "devices: run as root");
  ExpectError(VGPU_ERR_NO_PERMISSION, "devices: run as root", "0000:00:04.0");
  fs::permissions(root_.path() / "bus/pci/devices", fs::perms::all);
}

TEST_F(PciTransportTest, TooManyOpenFiles_SaysWhichLimit) {
  AddStub("0000:00:04.0");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const base::UniqueFd next(dup(0));  // no descriptor from here on
  const rlimit few = {static_cast<rlim_t>(next.get()) + 1, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  auto named = Open("0000:00:04.0");
  auto found = Open();
  setrlimit(RLIMIT_NOFILE, &before);
  for (const auto* transport : {&named, &found}) {
    ASSERT_FALSE(*transport);
    EXPECT_EQ(transport->error().code, VGPU_ERR_SYSTEM);
    EXPECT_NE(transport->error().text.find("ulimit -n"), std::string::npos) << transport->error().text;
  }
}

TEST_F(PciTransportTest, ConfigurationSpaceCutOff_IsNoSuccess) {
  const fs::path folder = AddStub("0000:00:04.0");
  Write(folder / "config", "xyz");
  errno = 0;
  ExpectError(VGPU_ERR_SYSTEM, "Input/output error");
}

TEST_F(PciTransportTest, NoRing_RegistersOnly) {
  const fs::path folder = AddStub("0000:00:04.0");
  Register(VGPU_REG_RING_CAPS) = 0;
  fs::remove(folder / "resource2");
  auto transport = Open();
  ASSERT_TRUE(transport) << transport.error().text;
  EXPECT_EQ((*transport)->region(), nullptr);
  EXPECT_EQ((*transport)->ring_state(), VGPU_RING_STATE_ATTACHED) << "from the register";
  auto client = Client::Open(std::move(*transport), 0, Soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_UNSUPPORTED);
  EXPECT_NE(client.error().text.find("regs --add"), std::string::npos) << client.error().text;
}

TEST_F(PciTransportTest, Rings_HaveOneOwnerEach) {
  AddStub("0000:00:04.0");
  auto first = Open();
  auto second = Open();
  ASSERT_TRUE(first && second);
  EXPECT_TRUE((*first)->ClaimRing(0));
  EXPECT_TRUE((*second)->ClaimRing(1));
  EXPECT_TRUE((*second)->ClaimWindow());
  auto busy = (*second)->ClaimRing(0);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, VGPU_ERR_RING_BUSY);
  EXPECT_NE(busy.error().text.find("--ring"), std::string::npos) << busy.error().text;
  EXPECT_FALSE((*first)->ClaimWindow());
  (*first)->ReleaseRing(0);
  EXPECT_TRUE((*second)->ClaimRing(0));
  first->reset();
  second->reset();
  EXPECT_TRUE((*Open())->ClaimRing(1)) << "locks end with their owner";
}

TEST_F(PciTransportTest, Kick_StoresToTheRingsDoorbellPage) {
  AddStub("0000:00:04.0");
  auto transport = Open();
  ASSERT_TRUE(transport);
  (*transport)->Kick(1);
  EXPECT_EQ(Register(0x2000), 1u);
  EXPECT_EQ(Register(0x1000), 0u);
}

TEST_F(PciTransportTest, AwaitLink_UntilAttachedOrTheDeadline) {
  AddStub("0000:00:04.0");
  SetState(VGPU_RING_STATE_NO_MEDIATOR);
  auto transport = Open();
  ASSERT_TRUE(transport);
  auto awaited = (*transport)->AwaitLink(Clock::now() + std::chrono::milliseconds(20));
  ASSERT_FALSE(awaited);
  EXPECT_EQ(awaited.error().code, VGPU_ERR_UNAVAILABLE);
  std::thread attach([&] { SetState(VGPU_RING_STATE_ATTACHED); });
  EXPECT_TRUE((*transport)->AwaitLink(Soon()));
  attach.join();
}

TEST_F(PciTransportTest, RefusedByTheMediator_SaysSoInsteadOfStartIt) {
  AddStub("0000:00:04.0");
  SetState(VGPU_RING_STATE_NO_MEDIATOR);
  auto transport = Open();
  ASSERT_TRUE(transport);
  const auto says = [&](uint32_t code) {
    Register(VGPU_REG_REFUSAL) = code;
    auto awaited = (*transport)->AwaitLink(Clock::now());
    EXPECT_FALSE(awaited);
    EXPECT_EQ(awaited.error().code, VGPU_ERR_UNAVAILABLE);
    return awaited.error().text;
  };
  EXPECT_EQ(says(VGPU_ERR_INVALID_REQUEST)
                .rfind("the host's mediator refuses this VM (code 1: its vm_id is in use", 0),
            0u);
  EXPECT_NE(says(VGPU_ERR_TOO_LARGE).find("code 2: its region is too large"), std::string::npos);
  EXPECT_NE(says(VGPU_ERR_TOO_LARGE).find("mediator's log"), std::string::npos);
  EXPECT_NE(says(200).find("code 200: unknown code"), std::string::npos);
  EXPECT_NE(says(VGPU_OK).find("start it on the host"), std::string::npos) << "older devices read 0 here";
}

TEST_F(PciTransportTest, GoneWhileWaiting_SaysSoInsteadOfStartIt) {
  AddStub("0000:00:04.0");
  SetState(VGPU_RING_STATE_NO_MEDIATOR);
  auto transport = Open();
  ASSERT_TRUE(transport);
  for (const uint32_t nothing : {UINT32_MAX, 0u}) {
    Register(VGPU_REG_PROTOCOL_VER) = nothing;
    auto awaited = (*transport)->AwaitLink(Clock::now());
    ASSERT_FALSE(awaited);
    EXPECT_EQ(awaited.error().code, VGPU_ERR_DEVICE_GONE) << awaited.error().text;
  }
}

TEST_F(PciTransportTest, Quarantined_ClientSaysWhoReleasesIt) {
  AddStub("0000:00:04.0");
  SetState(VGPU_RING_STATE_QUARANTINED);
  auto transport = Open();
  ASSERT_TRUE(transport);
  auto client = Client::Open(std::move(*transport), 0, Soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_QUARANTINED);
  EXPECT_NE(client.error().text.find("quarantined by the host's operator"), std::string::npos)
      << client.error().text;
  EXPECT_NE(client.error().text.find("vgpuctl release"), std::string::npos) << client.error().text;
}

// The whole client over mapped files, with the mediator's side polling them.
TEST_F(PciTransportTest, Client_AddsThroughTheMappedRegion) {
  AddStub("0000:00:04.0");
  std::atomic<bool> stop{false};
  std::thread mediator([&] {
    const auto ring = ring::RingAt(bar2_.data() + layout_.ring_off, layout_.entries);
    uint64_t epoch = 0;
    ring::Consumer<ring::RealMemory> consumer;
    ring::SlotCopy copy;
    while (!stop.load()) {
      if (const uint64_t asked = ring::RequestedEpoch(ring); asked != epoch) {
        epoch = asked;
        consumer = {ring, vgpu_word_seq(epoch)};
        ring::AnswerEpoch(ring, vgpu_word_seq(epoch), vgpu_word_data(epoch));
      }
      if (epoch != 0 && consumer.Take(&copy)) {
        consumer.Complete(consumer.cons() - 1,
                          {VGPU_OK, vgpu_word_data(copy.arg[0]) + vgpu_word_seq(copy.arg[0])});
      }
      std::this_thread::yield();
    }
  });
  {
    auto client = Open().and_then([](std::unique_ptr<PciTransport> transport) {
      return Client::Open(std::move(transport), 0, Soon());
    });
    ASSERT_TRUE(client) << client.error().text;
    for (int32_t i = 0; i < 1000; ++i) {
      auto answer = (*client)->Wait((*client)->Add(i, -7), Soon());
      ASSERT_TRUE(answer) << answer.error().text;
      ASSERT_EQ(static_cast<int32_t>(answer->data), i - 7);
    }
  }
  stop.store(true);
  mediator.join();
}

TEST(LooksUncached, ComparesWithOrdinaryMemory) {
  EXPECT_TRUE(LooksUncached({400, 2}));
  EXPECT_FALSE(LooksUncached({5, 2})) << "write-back";
  EXPECT_FALSE(LooksUncached({25, 1})) << "below 30 ns is no uncached load";
  EXPECT_FALSE(LooksUncached({60, 40})) << "an emulator is slow everywhere";
}

}  // namespace
}  // namespace vgpu::guest
