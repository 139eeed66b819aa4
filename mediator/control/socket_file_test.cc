// SPDX-License-Identifier: Apache-2.0
// The files of the control socket, and who takes them away or puts others in their place.
#include "mediator/control/socket_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

class SocketFileTest : public testing::Test {
 protected:
  SocketFileTest() {
    std::string folder = "/tmp/vgpu-test-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    path_ = folder + "/s";
  }
  ~SocketFileTest() override {
    for (const std::string& path : {path_, Lock(), folder_ + "/aside", folder_ + "/none"})
      unlink(path.c_str());
    rmdir(folder_.c_str());
  }
  std::string Lock() const { return path_ + ".lock"; }
  static bool Exists(const std::string& path) {
    struct stat info;
    return lstat(path.c_str(), &info) == 0;
  }
  static std::string Text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  base::UniqueFd Foreign(int type) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    base::UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    if (type != SOCK_DGRAM) listen(fd.get(), 1);
    return fd;
  }
  void WriteForeign() const { std::ofstream(path_) << "foreign"; }
  std::string Refusal() const {
    const auto lock = LockSocket(path_);
    return lock ? "" : lock.error();
  }

  std::string folder_;
  std::string path_;
};

TEST_F(SocketFileTest, Lock_NamesItsHolderAndGoesWithIt) {
  {
    const auto lock = LockSocket(path_);
    ASSERT_TRUE(lock) << lock.error();
    EXPECT_EQ(Text(Lock()), std::to_string(getpid()) + "\n");
    const std::string refusal = Refusal();
    EXPECT_NE(refusal.find("another mediator serves " + path_ + " (pid " + std::to_string(getpid()) + ")"),
              std::string::npos)
        << refusal;
    EXPECT_TRUE(Exists(Lock())) << "who was refused has taken the other's lock away";
  }
  EXPECT_FALSE(Exists(Lock()));
}

TEST_F(SocketFileTest, LockFileReplaced_TheOthersStays) {
  auto first = std::make_optional(LockSocket(path_));
  ASSERT_TRUE(*first);
  ASSERT_EQ(unlink(Lock().c_str()), 0);
  const auto second = LockSocket(path_);
  ASSERT_TRUE(second) << second.error();
  first.reset();
  EXPECT_TRUE(Exists(Lock()));
}

TEST_F(SocketFileTest, SocketReplaced_TheOthersStays) {
  {
    const auto mine = ListenOn(path_);
    ASSERT_TRUE(mine) << mine.error();
    ASSERT_EQ(rename(path_.c_str(), (folder_ + "/aside").c_str()), 0);
    WriteForeign();
  }
  EXPECT_EQ(Text(path_), "foreign");
}

TEST_F(SocketFileTest, SocketOfALivingProgram_IsRefusedAndStays) {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    const base::UniqueFd foreign = Foreign(type);
    const std::string refusal = Refusal();
    EXPECT_NE(refusal.find("listens on " + path_), std::string::npos) << refusal;
    EXPECT_TRUE(Exists(path_));
    EXPECT_FALSE(Exists(Lock()));
    unlink(path_.c_str());
  }
}

TEST_F(SocketFileTest, SocketOfADeadProgram_IsReplaced) {
  Foreign(SOCK_STREAM).reset();
  const auto lock = LockSocket(path_);
  ASSERT_TRUE(lock) << lock.error();
  EXPECT_TRUE(ListenOn(path_));
}

// The listener of a mediator that was killed, which the kernel keeps for longer than
// one waits for the living.
TEST_F(SocketFileTest, SocketOfADeadProgramThatGoesLate_IsReplaced) {
  base::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const pid_t dead = fork();
  if (dead == 0) _exit(listen(listener.get(), 8));
  int status = -1;
  ASSERT_EQ(waitpid(dead, &status, 0), dead);
  ASSERT_EQ(status, 0);
  std::thread kernel([&listener] {
    pollfd knock{listener.get(), POLLIN, 0};
    poll(&knock, 1, -1);
    std::this_thread::sleep_for(std::chrono::seconds(1));  // what is late is the point
    listener.reset();
  });
  const auto lock = LockSocket(path_);
  kernel.join();
  ASSERT_TRUE(lock) << lock.error();
  EXPECT_TRUE(ListenOn(path_));
}

TEST_F(SocketFileTest, LockOfADeadMediatorThatGoesLate_IsWaitedFor) {
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  ASSERT_EQ(waitpid(dead, nullptr, 0), dead);
  std::ofstream(Lock()) << dead << '\n';
  base::UniqueFd held(open(Lock().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
  auto lock = std::async(std::launch::async, [this] { return LockSocket(path_); });
  EXPECT_EQ(lock.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  held.reset();
  const auto taken = lock.get();
  EXPECT_TRUE(taken) << taken.error();
}

TEST_F(SocketFileTest, FileByTheLocksName_IsNotWrittenTo) {
  std::ofstream(Lock()) << "precious";
  EXPECT_NE(Refusal().find("is no lock"), std::string::npos);
  EXPECT_EQ(Text(Lock()), "precious");
}

TEST_F(SocketFileTest, Folders_AreMadeOrNamed) {
  const std::string deep = folder_ + "/a/b/s";
  {
    const auto lock = LockSocket(deep);
    EXPECT_TRUE(lock) << lock.error();
  }
  rmdir((folder_ + "/a/b").c_str());
  rmdir((folder_ + "/a").c_str());
  std::ofstream(folder_ + "/none") << "";
  const auto lock = LockSocket(folder_ + "/none/b/s");
  ASSERT_FALSE(lock);
  EXPECT_NE(lock.error().find("Not a directory"), std::string::npos) << lock.error();
}

}  // namespace
}  // namespace vgpu::mediator
