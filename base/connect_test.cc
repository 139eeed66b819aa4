// SPDX-License-Identifier: Apache-2.0
// Each way to fail, and to wait, with real sockets.
#include "base/connect.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/channel.h"
#include "base/unique_fd.h"

namespace vgpu::base {
namespace {

class ConnectTest : public testing::Test {
 protected:
  ConnectTest() {
    char name[] = "/tmp/vgpu-connect-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/s";
  }
  ~ConnectTest() override {
    chmod(folder_.c_str(), 0700);
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }

  UniqueFd Listen(int type = SOCK_STREAM, int backlog = 8) {
    UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(listen(fd.get(), backlog), 0);
    }
    return fd;
  }

  static ConnectError Try(const std::string& path) {
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto connected = Connect(fd.get(), path);
    return connected ? ConnectError{} : connected.error();
  }

  // What one is told who has no rights but those that the files give: root without its powers.
  static std::string TryWithoutPowers(const std::string& path) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
      __user_cap_data_struct none[2] = {};
      if (syscall(SYS_capset, &header, none) != 0) _exit(1);
      const std::string text = Try(path).text;
      _exit(write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    close(ends[1]);
    char buffer[1024];
    const ssize_t got = read(ends[0], buffer, sizeof(buffer));
    close(ends[0]);
    waitpid(pid, nullptr, 0);
    return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : "";
  }

  std::string folder_;
  std::string path_;
};

bool Says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(ConnectTest, Served) {
  const UniqueFd listener = Listen();
  EXPECT_EQ(Try(path_).text, "");
}

TEST_F(ConnectTest, NoSocket) {
  const ConnectError error = Try(path_);
  EXPECT_EQ(error.error, ENOENT);
  EXPECT_TRUE(Says(error.text, "no mediator listens on " + path_ + ": there is no such socket; start"))
      << error.text;
}

TEST_F(ConnectTest, NobodyServesIt) {
  Listen();
  const ConnectError error = Try(path_);
  EXPECT_EQ(error.error, ECONNREFUSED);
  EXPECT_TRUE(Says(error.text, "has ended; start it again")) << error.text;
}

TEST_F(ConnectTest, NotASocket) {
  close(open(path_.c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_EQ(Try(path_).text, "'" + path_ + "' is no socket: name the one that the mediator serves");
}

TEST_F(ConnectTest, SocketOfAnotherKind) {
  const UniqueFd datagrams = Listen(SOCK_DGRAM);
  EXPECT_TRUE(Says(Try(path_).text, "is a socket of another kind")) << Try(path_).text;
}

TEST_F(ConnectTest, Busy) {
  const UniqueFd listener = Listen(SOCK_STREAM, 0);
  const UniqueFd first(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ASSERT_TRUE(Connect(first.get(), path_));
  const ConnectError error = Try(path_);
  EXPECT_EQ(error.error, EAGAIN);
  EXPECT_TRUE(Says(error.text, "does not accept connections")) << error.text;
}

TEST_F(ConnectTest, PathTooLong_OrThroughAFile) {
  EXPECT_EQ(Try(std::string(300, 'x')).error, ENAMETOOLONG);
  EXPECT_EQ(Try("").error, ENAMETOOLONG);
  EXPECT_TRUE(Says(Try("/etc/hostname/s").text, "Not a directory; check the path"))
      << Try("/etc/hostname/s").text;
}

TEST_F(ConnectTest, AnotherUsersMediator) {
  const UniqueFd listener = Listen();
  chmod(path_.c_str(), 0);
  const std::string denied =
      "cannot connect to " + path_ +
      ": permission denied: the mediator runs as another user; run as root or its user";
  EXPECT_EQ(TryWithoutPowers(path_), denied + " (uid " + std::to_string(geteuid()) + ")");
  chmod(folder_.c_str(), 0);
  EXPECT_EQ(TryWithoutPowers(path_), denied);  // who may not enter the folder cannot know the owner
}

// ---- waiting for what comes ----

using std::chrono::steady_clock;

constexpr FrameFormat kFormat{.magic = 1, .version = 3, .fds_max = 0, .payload_max = 64, .queued_max = 4096};
constexpr steady_clock::time_point kPast{};

steady_clock::time_point InAMinute() { return steady_clock::now() + std::chrono::minutes(1); }

class AwaitTest : public testing::Test {
 protected:
  AwaitTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    channel_ = std::make_unique<Channel>(UniqueFd(ends[0]), kFormat);
    peer_ = UniqueFd(ends[1]);
  }

  static std::string Bytes(std::string_view payload) {
    const FrameHeader header = HeaderOf(kFormat, 7, payload.size());
    return std::string(reinterpret_cast<const char*>(&header), sizeof header).append(payload);
  }
  void Write(std::string_view bytes) {
    EXPECT_EQ(write(peer_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  Received Await(steady_clock::time_point deadline) {
    const auto received = AwaitFrame(*channel_, deadline, &frame_);
    EXPECT_TRUE(received);
    return received.value_or(Received::kClosed);
  }
  std::string Payload() const { return {frame_.payload.begin(), frame_.payload.end()}; }

  std::unique_ptr<Channel> channel_;
  UniqueFd peer_;
  Frame<UniqueFd> frame_;
};

TEST_F(AwaitTest, Readable_OnceSomethingIsThere) {
  EXPECT_FALSE(WaitReadable(channel_->fd(), kPast));
  EXPECT_FALSE(WaitReadable(channel_->fd(), steady_clock::now() + std::chrono::milliseconds(2)));
  Write("x");
  EXPECT_TRUE(WaitReadable(channel_->fd(), kPast));
}

TEST_F(AwaitTest, TheEndIsReadable) {
  peer_.reset();
  EXPECT_TRUE(WaitReadable(channel_->fd(), InAMinute()));
  EXPECT_EQ(Await(InAMinute()), Received::kClosed);
}

TEST_F(AwaitTest, SignalsDoNotShortenTheWait) {
  struct sigaction handler {};
  handler.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGALRM, &handler, nullptr), 0);
  const itimerval often{{0, 1000}, {0, 1000}};
  const itimerval never{};
  const auto deadline = steady_clock::now() + std::chrono::milliseconds(30);
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  EXPECT_FALSE(WaitReadable(channel_->fd(), deadline));
  EXPECT_GE(steady_clock::now(), deadline);
  setitimer(ITIMER_REAL, &never, nullptr);
}

TEST_F(AwaitTest, AFrameInTwoHalves) {
  const std::string bytes = Bytes("hello");
  std::thread peer([&] {
    Write(bytes.substr(0, 3));
    Write(bytes.substr(3));
  });
  EXPECT_EQ(Await(InAMinute()), Received::kFrame);
  EXPECT_EQ(Payload(), "hello");
  peer.join();
}

TEST_F(AwaitTest, WhatCameBeforeTheDeadlineIsKept) {
  const std::string bytes = Bytes("hello");
  Write(bytes.substr(0, 18));
  EXPECT_EQ(Await(kPast), Received::kNothingYet);
  Write(bytes.substr(18));
  EXPECT_EQ(Await(kPast), Received::kFrame);
  EXPECT_EQ(Payload(), "hello");
}

TEST_F(AwaitTest, WhatIsNoFrame) {
  Write(std::string(sizeof(FrameHeader), 'x'));
  const auto received = AwaitFrame(*channel_, InAMinute(), &frame_);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().fault, ChannelFault::kForeign);
}

TEST(Explain, NamesCauseAndRemedy) {
  EXPECT_EQ(Explain({ChannelFault::kForeign}, kFormat),
            "what answers on this socket is not a vgpu-ring mediator: check the path");
  EXPECT_EQ(Explain({ChannelFault::kVersion, 9}, kFormat),
            "the mediator speaks control protocol 9, this program 3: install matching versions");
  EXPECT_EQ(Explain({ChannelFault::kTooLong, 65}, kFormat),
            "the mediator sent a message of 65 bytes, more than 64: install matching versions");
  for (const ChannelFault fault :
       {ChannelFault::kCutOff, ChannelFault::kTooManyFds, ChannelFault::kNoFdsLeft}) {
    EXPECT_EQ(Explain({fault}, kFormat), kHungUp);
  }
}

}  // namespace
}  // namespace vgpu::base
