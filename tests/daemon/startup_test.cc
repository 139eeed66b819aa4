// SPDX-License-Identifier: Apache-2.0
// Start and end of the daemon: with no flags, beside another one, after one that died, with wrong settings,
// on signals.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <memory>
#include <string>

#include "api/codes.h"
#include "api/vector.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

class StartupTest : public testing::Test {
 protected:
  std::unique_ptr<Daemon> Start(std::vector<std::string> flags = {}) {
    return std::make_unique<Daemon>(
        DaemonOptions{.socket = socket_, .flags = std::move(flags), .log = folder_ / "log"});
  }
  // Starts a daemon that must refuse, and returns what it says.
  std::string Refusal(std::vector<std::string> flags = {}) {
    const std::unique_ptr<Daemon> daemon = Start(std::move(flags));
    const int status = daemon->Join();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << "status " << status;
    return daemon->Log();
  }
  bool Exists(const std::string& path) {
    struct stat info;
    return lstat(path.c_str(), &info) == 0;
  }
  void ExpectCleanEnd(Daemon* daemon, int signal) {
    daemon->Signal(signal);
    const int status = daemon->Join();
    EXPECT_TRUE(WIFEXITED(status)) << "status " << status;
    EXPECT_EQ(WEXITSTATUS(status), 0) << daemon->Log();
    EXPECT_FALSE(Exists(daemon->socket()));
  }

  const TempFolder folder_;
  const std::string socket_ = folder_ / "mediator.sock";
};

TEST_F(StartupTest, NoFlags_ServesInTheRuntimeFolder) {
  const DaemonOptions options{.environment = {"XDG_RUNTIME_DIR=" + (folder_ / "run")},
                              .log = folder_ / "log"};
  Daemon daemon(options);
  const std::string socket = folder_ / "run/vgpu-ring/mediator.sock";
  ASSERT_TRUE(Eventually([&] { return !daemon.Running() || Peer(socket).connected(); })) << daemon.Log();
  Owner owner({});
  ASSERT_TRUE(owner.Attach(socket)) << daemon.Log();
  Guest guest(&owner, 0);
  guest.Open();
  EXPECT_EQ(guest.Ask(guest.Add(100, 200)).data, 300u);
  struct stat info;
  ASSERT_EQ(stat((folder_ / "run/vgpu-ring").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(stat(socket.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(StartupTest, SocketInUse_RefusedAndTheOtherGoesOn) {
  const auto first = Start();
  ASSERT_TRUE(first->Serving()) << first->Log();
  const std::string text = Refusal();
  EXPECT_NE(text.find("another mediator serves " + socket_), std::string::npos) << text;
  EXPECT_NE(text.find("--socket"), std::string::npos) << "no remedy: " << text;
  EXPECT_TRUE(first->Serving());
}

TEST_F(StartupTest, SocketOfADeadMediator_Replaced) {
  const auto first = Start();
  ASSERT_TRUE(first->Serving()) << first->Log();
  first->Kill();
  ASSERT_TRUE(Exists(socket_));
  const auto second = Start();
  EXPECT_TRUE(second->Serving()) << second->Log();
}

TEST_F(StartupTest, SocketPathIsAFile_RefusedAndTheFileKept) {
  WriteFile(socket_, "precious");
  const std::string text = Refusal();
  EXPECT_NE(text.find("is no socket"), std::string::npos) << text;
  EXPECT_EQ(ReadFile(socket_), "precious");
}

TEST_F(StartupTest, SocketPathTooLong_Refused) {
  const DaemonOptions options{.socket = folder_ / std::string(200, 'x'), .log = folder_ / "log"};
  Daemon daemon(options);
  EXPECT_EQ(WEXITSTATUS(daemon.Join()), 1);
  EXPECT_NE(daemon.Log().find("the socket's path is longer than"), std::string::npos) << daemon.Log();
}

TEST_F(StartupTest, WrongConfiguration_NamesFileLineAndReason) {
  const std::string config = folder_ / "mediator.toml";
  WriteFile(config, "workers = 1\n\n[limits]\nvms_max = 0\n");
  EXPECT_NE(Refusal({"--config", config}).find(config + ":4: vms_max is not an integer from 1 to 1024"),
            std::string::npos);
  EXPECT_NE(Refusal({"--config", folder_ / "none.toml"}).find("none.toml"), std::string::npos);
}

TEST_F(StartupTest, WrongFlags_NameWhatIsKnown) {
  EXPECT_NE(Refusal({"--backend", "abacus"}).find("'abacus' is none of auto, cpu, cuda"), std::string::npos);
  EXPECT_NE(Refusal({"--wait", "patiently"}).find("'patiently' is none of adaptive, sleep, spin"),
            std::string::npos);
  EXPECT_NE(Refusal({"--trace", folder_ / "no/such/folder"}).find("(choose another file for it)"),
            std::string::npos);
}

TEST_F(StartupTest, Signals_EndItCleanly) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const auto daemon = Start();
    ASSERT_TRUE(daemon->Serving()) << daemon->Log();
    ExpectCleanEnd(daemon.get(), signal);
  }
}

// With a guest attached, whose long requests are queued and running.
TEST_F(StartupTest, SignalUnderLoad_EndsItCleanlyAndTheNextOneGoesOn) {
  constexpr uint64_t kCount = 200'000;
  constexpr uint32_t kRequests = 60;
  auto daemon = Start();
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  Owner owner({.region_bytes = 4 << 20});
  ASSERT_TRUE(owner.Attach(socket_));
  Guest guest(&owner, 0);
  guest.Open();
  for (uint32_t i = 0; i < kRequests; ++i) {
    guest.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, 4 * kCount, 8 * kCount});
  }
  guest.Flush();
  ring::Answer answer;
  ASSERT_EQ(guest.Await(0, &answer), Outcome::kDone);
  ExpectCleanEnd(daemon.get(), SIGTERM);

  daemon = Start();
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  ASSERT_TRUE(owner.Attach(socket_));
  for (uint32_t idx = 1; idx < kRequests; ++idx) {
    ASSERT_EQ(guest.Await(idx, &answer), Outcome::kDone);
    EXPECT_EQ(answer.code, VGPU_OK) << "a request that is harmless to repeat";
  }
}

}  // namespace
}  // namespace vgpu::test
