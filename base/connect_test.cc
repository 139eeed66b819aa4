// SPDX-License-Identifier: Apache-2.0
// Each way to fail, with real sockets.
#include "base/connect.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

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

}  // namespace
}  // namespace vgpu::base
