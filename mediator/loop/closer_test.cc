// SPDX-License-Identifier: Apache-2.0
// Closing what a peer can make slow: sockets that linger stand for all of them.
#include "mediator/loop/closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "mediator/loop/peer_fd.h"

namespace vgpu::mediator {
namespace {

constexpr int kLingerS = 3000;  // far longer than this test may take
constexpr int kPatienceMs = 30'000;

// A TCP socket whose close hangs until its peer goes: there are bytes that the peer does not read.
class Hanging {
 public:
  Hanging() {
    const base::UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener.get(), any, sizeof address) != 0 || listen(listener.get(), 1) != 0 ||
        getsockname(listener.get(), any, &length) != 0 || connect(fd.get(), any, sizeof address) != 0) {
      return;
    }
    peer_ = base::UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::vector<char> bytes(1 << 20);
    while (send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {}
    const linger lingers{1, kLingerS};
    if (setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers) == 0) fd_ = std::move(fd);
  }

  explicit operator bool() const { return !!fd_; }
  int Take() { return fd_.release(); }
  void LetGo() { peer_.reset(); }

 private:
  base::UniqueFd fd_;
  base::UniqueFd peer_;
};

// A descriptor that is to be closed, and an eye on it.
class Watched {
 public:
  Watched() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return;
    eye_ = base::UniqueFd(fds[0]);
    fd_ = base::UniqueFd(fds[1]);
  }
  int Take() { return fd_.release(); }
  bool Closed(int patience_ms) const {
    pollfd watched{eye_.get(), POLLIN, 0};
    return poll(&watched, 1, patience_ms) == 1 && (watched.revents & POLLHUP) != 0;
  }

 private:
  base::UniqueFd eye_;
  base::UniqueFd fd_;
};

// Hanging sockets that are let go before the closer's end, which waits for a moment only.
class CloserTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!Hanging()) GTEST_SKIP() << "no TCP over 127.0.0.1 here";
    closer_.emplace();
  }
  void TearDown() override {
    for (const auto& hanging : hanging_) hanging->LetGo();
    if (!closer_) return;
    EXPECT_TRUE(closer_->Drain());
  }
  void Hang(int count) {
    for (int i = 0; i < count; ++i) {
      hanging_.push_back(std::make_unique<Hanging>());
      ASSERT_TRUE(*hanging_.back());
      CloseElsewhere(hanging_.back()->Take(), PeerFdKind::kUnknown);
    }
  }

  std::optional<Closer> closer_;
  std::vector<std::unique_ptr<Hanging>> hanging_;
};

TEST_F(CloserTest, CloseThatHangs_HoldsNobodyUp) {
  const auto begin = std::chrono::steady_clock::now();
  Hang(1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(kLingerS / 2));
  EXPECT_FALSE(closer_->Drain()) << "this test proves nothing: the close did not hang";
}

TEST_F(CloserTest, OthersBehindOneThatHangs_AreClosed) {
  Hang(1);
  std::vector<Watched> others(100);
  for (Watched& other : others) CloseElsewhere(other.Take(), PeerFdKind::kUnknown);
  for (const Watched& other : others) EXPECT_TRUE(other.Closed(kPatienceMs));
  EXPECT_FALSE(closer_->Drain());
}

TEST_F(CloserTest, OthersBehindAllThatMayHang_AreClosed) {
  Hang(Closer::kThreadsMax - 1);
  Watched other;
  CloseElsewhere(other.Take(), PeerFdKind::kUnknown);
  EXPECT_TRUE(other.Closed(kPatienceMs));
}

TEST_F(CloserTest, MoreHangThanThereAreThreads_TheRestComesWhenOneIsLetGo) {
  Hang(Closer::kThreadsMax);
  Watched other;
  CloseElsewhere(other.Take(), PeerFdKind::kUnknown);
  EXPECT_FALSE(closer_->Drain());
  EXPECT_FALSE(other.Closed(0));
  hanging_.front()->LetGo();
  EXPECT_TRUE(other.Closed(kPatienceMs));
}

// What nobody can make hang does not wait for what hangs.
TEST_F(CloserTest, AllThatMayHangHang_OtherKindsAreClosed) {
  Hang(Closer::kThreadsMax + 1);
  Watched other;
  CloseElsewhere(other.Take(), PeerFdKind::kEndsByItself);
  EXPECT_TRUE(other.Closed(kPatienceMs));
}

TEST_F(CloserTest, End_ClosesWhatWaits) {
  std::vector<Watched> all(500);
  for (Watched& one : all) CloseElsewhere(one.Take(), PeerFdKind::kUnknown);
  EXPECT_TRUE(closer_->Drain());
  closer_.reset();
  for (const Watched& one : all) EXPECT_TRUE(one.Closed(0));
}

// Whoever ends the process must be able to, whatever hangs.
TEST_F(CloserTest, EndWhileOneHangs_DoesNotWaitForIt) {
  Hang(1);
  closer_.reset();
}

TEST_F(CloserTest, PeerFd_ClosesElsewhere) {
  Hanging hanging;
  { const PeerFd fd(hanging.Take()); }
  EXPECT_FALSE(closer_->Drain());
  hanging.LetGo();
  EXPECT_TRUE(closer_->Drain());
}

TEST(NoCloser, ClosesInPlace) {
  Watched one;
  CloseElsewhere(one.Take(), PeerFdKind::kUnknown);
  EXPECT_TRUE(one.Closed(0));
  { const Closer closer; }
  Watched other;
  CloseElsewhere(other.Take(), PeerFdKind::kUnknown);
  EXPECT_TRUE(other.Closed(0)) << "after the closer's end";
}

}  // namespace
}  // namespace vgpu::mediator
