// SPDX-License-Identifier: Apache-2.0
// Descriptors of every kind, in every place of an attach: what is neither a memfd nor an eventfd is refused
// with a sentence, and whatever it does, waiting included, the others are served.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"
#include "tests/daemon/unanswered_file.h"

namespace vgpu::test {
namespace {

constexpr uint32_t kHonestVm = 1;
constexpr uint32_t kVm = 2;

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << "says: " << (text)

struct Kind {
  std::string name;
  base::UniqueFd fd;
};

class DescriptorsTest : public testing::Test {
 protected:
  void SetUp() override {
    daemon_ = std::make_unique<Daemon>(
        DaemonOptions{.socket = folder_ / "socket", .flags = {"--backend", "cpu"}, .log = folder_ / "log"});
    ASSERT_TRUE(daemon_->Serving()) << daemon_->Log();
    ASSERT_TRUE(honest_.Attach(daemon_->socket())) << daemon_->Log();
    guest_.Open();
    descriptors_ = daemon_->Descriptors();
  }
  void TearDown() override {
    ASSERT_TRUE(daemon_->Running()) << daemon_->Log();
    ExpectOthersAreServed();
    EXPECT_TRUE(Eventually([this] { return daemon_->Descriptors() <= descriptors_; }))
        << "descriptors were kept";
  }

  // One that is attached, and one that comes now.
  void ExpectOthersAreServed() {
    EXPECT_EQ(guest_.Ask(guest_.Add(3, 4)).data, 7u);
    Owner newcomer({.vm_id = 3});
    EXPECT_TRUE(newcomer.Attach(daemon_->socket())) << daemon_->Log();
  }

  void Offer(Peer* peer, const std::vector<int>& attach_fds, const std::vector<int>& ring_fds) {
    peer->Hello(VGPU_ROLE_DEVICE);
    peer->Send(VGPU_MSG_ATTACH, Bytes(owner_.Claim()), attach_fds);
    const vgpu_msg_ring ring{0, 0};
    peer->Send(VGPU_MSG_RING, Bytes(ring), ring_fds);
    peer->Send(VGPU_MSG_START);
  }
  std::string Refusal(const std::vector<int>& attach_fds, const std::vector<int>& ring_fds) {
    Peer peer(daemon_->socket());
    Offer(&peer, attach_fds, ring_fds);
    return peer.ExpectError();
  }

  // All that are neither memory nor a doorbell.
  std::vector<Kind> Others() {
    std::vector<Kind> kinds;
    const auto add = [&kinds](const std::string& name, int fd) {
      if (fd < 0) {
        std::printf("%s cannot be had here, and is left out\n", name.c_str());
      } else {
        kinds.push_back({name, base::UniqueFd(fd)});
      }
    };
    add("/dev/zero", open("/dev/zero", O_RDWR | O_CLOEXEC));
    add("/dev/null", open("/dev/null", O_RDWR | O_CLOEXEC));
    add("a folder", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    add("a path", open("/", O_PATH | O_CLOEXEC));
    add("a path to a file", open("/proc/self/exe", O_PATH | O_CLOEXEC));
    add("a path to a memfd", open(PathOf(owner_.AttachFds()[3]).c_str(), O_PATH | O_CLOEXEC));
    add("a path to an eventfd", open(PathOf(owner_.AttachFds()[1]).c_str(), O_PATH | O_CLOEXEC));
    add("a file", open((folder_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    add("an epoll", epoll_create1(EPOLL_CLOEXEC));
    add("a timer", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    add("an inotify", inotify_init1(IN_CLOEXEC));
    sigset_t none;
    sigemptyset(&none);
    add("a signalfd", signalfd(-1, &none, SFD_CLOEXEC));
    add("a process", static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
    add("a Unix socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    add("a TCP socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    add("a terminal", posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    add("/dev/fuse", open("/dev/fuse", O_RDWR | O_CLOEXEC));
    add("/dev/kvm", open("/dev/kvm", O_RDWR | O_CLOEXEC));
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    add("a pipe to read", ends[0]);
    add("a pipe to write", ends[1]);
    return kinds;
  }
  static std::string PathOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

  const TempFolder folder_;
  std::unique_ptr<Daemon> daemon_;
  Owner honest_{{.vm_id = kHonestVm}};
  Guest guest_{&honest_, 0};
  Owner owner_{{.vm_id = kVm}};
  size_t descriptors_ = 0;
};

TEST_F(DescriptorsTest, EveryOtherKindInEveryPlace_IsNamed) {
  const std::vector<int> attach = owner_.AttachFds();
  const std::vector<int> doorbells = owner_.RingFds(0);
  std::vector<Kind> kinds = Others();
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(kind.name);
    const int wrong = kind.fd.get();
    EXPECT_SAYS(Refusal({wrong, attach[1], attach[2], attach[3]}, doorbells), "the private file");
    EXPECT_SAYS(Refusal({attach[0], wrong, attach[2], attach[3]}, doorbells), "no eventfd");
    EXPECT_SAYS(Refusal({attach[0], attach[1], wrong, attach[3]}, doorbells), "no eventfd");
    EXPECT_SAYS(Refusal({attach[0], attach[1], attach[2], wrong}, doorbells), "not a memfd");
    EXPECT_SAYS(Refusal(attach, {wrong, doorbells[1]}), "no eventfd");
    EXPECT_SAYS(Refusal(attach, {doorbells[0], wrong}), "no eventfd");
  }
  EXPECT_TRUE(owner_.Attach(daemon_->socket())) << "the right ones";
  owner_.Hangup();
}

// The right kinds, opened in a way in which they cannot be used.
TEST_F(DescriptorsTest, MemoryToReadOnly_IsRefused) {
  const std::vector<int> attach = owner_.AttachFds();
  const base::UniqueFd region(open(PathOf(attach[3]).c_str(), O_RDONLY | O_CLOEXEC));
  const base::UniqueFd file(open(PathOf(attach[0]).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(region && file);
  EXPECT_SAYS(Refusal({attach[0], attach[1], attach[2], region.get()}, owner_.RingFds(0)), "the region");
  EXPECT_SAYS(Refusal({file.get(), attach[1], attach[2], attach[3]}, owner_.RingFds(0)), "the private file");
}

// A file whose server answers nobody: neither a look at it nor its close may be waited for.
TEST(UnansweredFileTest, InEveryPlaceOfAnAttach_OthersAreServed) {
  UnansweredFile file;  // before any thread
  if (!file.problem().empty()) GTEST_SKIP() << file.problem();
  const TempFolder folder;
  Daemon daemon({.socket = folder / "socket", .flags = {"--backend", "cpu"}, .log = folder / "log"});
  ASSERT_TRUE(daemon.Serving()) << daemon.Log();
  Owner honest({.vm_id = kHonestVm});
  ASSERT_TRUE(honest.Attach(daemon.socket()));
  Guest guest(&honest, 0);
  guest.Open();
  const size_t descriptors = daemon.Descriptors();
  file.Stop();
  Owner owner({.vm_id = kVm});
  std::vector<std::unique_ptr<Peer>> peers;
  const auto offer = [&](const std::vector<int>& attach_fds, const std::vector<int>& ring_fds) {
    peers.push_back(std::make_unique<Peer>(daemon.socket()));
    Peer& peer = *peers.back();
    peer.Hello(VGPU_ROLE_DEVICE);
    peer.Send(VGPU_MSG_ATTACH, Bytes(owner.Claim()), attach_fds);
    const vgpu_msg_ring ring{0, 0};
    peer.Send(VGPU_MSG_RING, Bytes(ring), ring_fds);
    peer.Send(VGPU_MSG_START);
    EXPECT_EQ(guest.Ask(guest.Add(3, 4)).data, 7u);
    Owner newcomer({.vm_id = 3});
    EXPECT_TRUE(newcomer.Attach(daemon.socket())) << "another VM waits for this one's file";
  };
  const std::vector<int> attach = owner.AttachFds();
  for (size_t place = 0; place < attach.size(); ++place) {
    std::vector<int> fds = attach;
    fds[place] = file.fd();
    offer(fds, owner.RingFds(0));
  }
  offer(attach, {file.fd(), owner.RingFds(0)[1]});
  offer(attach, {owner.RingFds(0)[0], file.fd()});
  // With a message that takes no descriptor, too.
  Peer stray(daemon.socket());
  stray.Hello(VGPU_ROLE_OPERATOR);
  stray.Send(VGPU_MSG_STATUS, {}, {file.fd()});
  EXPECT_TRUE(Eventually([&] { return file.waiting() > 0; }))
      << "nobody has waited: this test proves nothing";
  EXPECT_EQ(guest.Ask(guest.Add(5, 6)).data, 11u);
  EXPECT_EQ(daemon.VmCount(), 1u);
  file.GoOn();
  peers.clear();
  stray.Close();
  EXPECT_TRUE(Eventually([&] { return daemon.Descriptors() <= descriptors; })) << "descriptors were kept";
}

}  // namespace
}  // namespace vgpu::test
