// SPDX-License-Identifier: Apache-2.0
// What a host, a service manager or a sandbox does to the daemon's process: its log's reader, signals, closed
// descriptors, limits, files that are touched, system calls that are refused.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/sanitized.h"
#include "base/unique_fd.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

class ProcessTest : public testing::Test {
 protected:
  std::unique_ptr<Daemon> Start(std::vector<std::string> flags = {},
                                std::vector<std::string> environment = {}) {
    flags.insert(flags.end(), {"--backend", "cpu"});
    return std::make_unique<Daemon>(DaemonOptions{
        .socket = socket_, .flags = std::move(flags), .environment = std::move(environment), .log = log_});
  }
  // Runs the daemon after `prepare` has changed the process, until it ends by itself; returns its log. It
  // must end with status 1.
  std::string Refusal(const std::function<void()>& prepare, std::vector<std::string> flags = {}) {
    const pid_t pid = StartPrepared(prepare, std::move(flags));
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << "status " << status << "\n"
                                                               << ReadFile(log_);
    return ReadFile(log_);
  }
  pid_t StartPrepared(const std::function<void()>& prepare, std::vector<std::string> flags = {}) {
    std::vector<std::string> words = {binary_, "--backend", "cpu"};
    const bool none = !flags.empty() && flags.front() == "--no-socket";  // the default
    if (none) flags.clear();
    if (!none && std::find(flags.begin(), flags.end(), "--socket") == flags.end())
      words.insert(words.end(), {"--socket", socket_});
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int log = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(log, STDERR_FILENO);
    dup2(log, STDOUT_FILENO);
    close(log);
    prepare();
    execv(argv[0], argv.data());
    _exit(127);
  }
  // What is started from now on can be started by anybody: a copy that lies where
  // everybody may look. Needs root.
  void ForSomebodyElse() {
    binary_ = folder_ / "mediator";
    std::filesystem::copy_file(kMediator, binary_);
    chmod(binary_.c_str(), 0755);
    chmod((folder_ / "").c_str(), 0777);
  }
  // Root may, but not in every sandbox.
  static bool MayBecomeSomebodyElse() {
    const pid_t pid = fork();
    if (pid == 0) {
      BecomeSomebodyElse();
      _exit(0);
    }
    int status = -1;
    return waitpid(pid, &status, 0) == pid && status == 0;
  }
  static void BecomeSomebodyElse() {
    if (setresgid(54321, 54321, 54321) != 0 || setresuid(54321, 54321, 54321) != 0) _exit(126);
  }
  static bool Exists(const std::string& path) {
    struct stat info;
    return lstat(path.c_str(), &info) == 0;
  }
  static void ExpectOrderlyEnd(Daemon* daemon, int signal) {
    daemon->Signal(signal);
    const int status = daemon->Join();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
    EXPECT_FALSE(Exists(daemon->socket()));
    EXPECT_FALSE(Exists(daemon->socket() + ".lock"));
  }
  // Comes, asks, and goes: two lines of log.
  void AttachAndGo(uint32_t vm_id) {
    Owner owner({.vm_id = vm_id, .region_bytes = 64 << 10});
    ASSERT_TRUE(owner.Attach(socket_));
    Guest guest(&owner, 0);
    guest.Open();
    ASSERT_EQ(guest.Ask(guest.Add(100, 200)).data, 300u);
    owner.peer().Send(VGPU_MSG_DETACH);
    ASSERT_TRUE(owner.peer().HungUp());
  }

  const TempFolder folder_;
  const std::string socket_ = folder_ / "socket";
  const std::string log_ = folder_ / "log";
  std::string binary_ = kMediator;
};

// ---- the log ----

// The log is a pipe with a name; the daemon opens its other end.
class LogReaderTest : public ProcessTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkfifo(log_.c_str(), 0600), 0);
    reader_ = base::UniqueFd(open(log_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    ASSERT_TRUE(reader_);
    fcntl(reader_.get(), F_SETPIPE_SZ, 4096);
    daemon_ = Start();
    ASSERT_TRUE(daemon_->Serving());
  }
  std::string ReadAll() {
    std::string text;
    char piece[4096];
    for (ssize_t got; (got = read(reader_.get(), piece, sizeof piece)) > 0;)
      text.append(piece, static_cast<size_t>(got));
    return text;
  }

  base::UniqueFd reader_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(LogReaderTest, ReaderGone_ServesOnAndEndsInOrder) {
  reader_.reset();
  for (uint32_t i = 0; i < 5; ++i) AttachAndGo(7);
  EXPECT_TRUE(daemon_->Running());
  ExpectOrderlyEnd(daemon_.get(), SIGTERM);
}

TEST_F(LogReaderTest, ReaderStandsStill_ServesOnAndEndsInOrder) {
  for (uint32_t i = 0; i < 100; ++i) AttachAndGo(7);  // more lines than the pipe holds
  const TimePoint start = Clock::now();
  ExpectOrderlyEnd(daemon_.get(), SIGTERM);
  std::printf("ended after %.0f ms\n",
              std::chrono::duration<double, std::milli>(Clock::now() - start).count());
}

TEST_F(LogReaderTest, ReaderComesBack_GetsWhatIsLeftAndHowManyLinesAreNot) {
  reader_.reset();
  AttachAndGo(7);
  reader_ = base::UniqueFd(open(log_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  std::string text;
  EXPECT_TRUE(Eventually([&] {
    AttachAndGo(8);
    text += ReadAll();
    return text.find("lines of the log were lost") != std::string::npos &&
           text.find("VM 8") != std::string::npos;
  })) << text;
}

TEST_F(ProcessTest, StderrIsJournaldsStream_PrioritiesAndNoTimeStamps) {
  const pid_t pid = StartPrepared([] {
    struct stat info;
    fstat(STDERR_FILENO, &info);
    setenv("JOURNAL_STREAM", (std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino)).c_str(), 1);
  });
  EXPECT_TRUE(Eventually([this] { return ReadFile(log_).find("<6>serving " + socket_) == 0; }))
      << ReadFile(log_);
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
  EXPECT_NE(Refusal([] { setenv("JOURNAL_STREAM", "1:2", 1); }, {"--socket", "/dev/null/s"})
                .find(" error mediator: "),
            std::string::npos);
}

// ---- signals and descriptors ----

TEST_F(ProcessTest, Hangup_EndsItInOrderAndItSaysSo) {
  const auto daemon = Start();
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  ExpectOrderlyEnd(daemon.get(), SIGHUP);
  EXPECT_NE(daemon->Log().find("stopping on Hangup"), std::string::npos) << daemon->Log();
}

TEST_F(ProcessTest, HangupUnderNohup_ServesOn) {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGHUP, &ignore, &before);
  const auto daemon = Start();
  sigaction(SIGHUP, &before, nullptr);
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  daemon->Signal(SIGHUP);
  EXPECT_TRUE(daemon->Serving());
}

TEST_F(ProcessTest, StandardDescriptorsClosed_NothingIsWrittenIntoOtherFiles) {
  const pid_t pid = StartPrepared([] {
    for (int fd = 0; fd <= 2; ++fd) close(fd);
  });
  ASSERT_TRUE(Eventually([this] { return Peer(socket_).connected(); }));
  AttachAndGo(3);
  EXPECT_EQ(ReadFile(socket_ + ".lock"), std::to_string(pid) + "\n");
  kill(pid, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

// ---- limits ----

void Limit(int what, rlim_t value) {
  const rlimit limit{value, value};
  setrlimit(static_cast<__rlimit_resource>(what), &limit);
}

TEST_F(ProcessTest, FileSizeLimit_IsASentence) {
  const std::string text = Refusal([] { Limit(RLIMIT_FSIZE, 1 << 20); }, {"--trace", folder_ / "trace"});
  EXPECT_NE(text.find("File too large"), std::string::npos) << text;
}

TEST_F(ProcessTest, FewDescriptors_TheCauseAndTheRemedy) {
  // Without a descriptor to spare it takes each object for one that is none.
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  for (const rlim_t few : {4, 6, 8}) {
    const std::string text = Refusal([few] { Limit(RLIMIT_NOFILE, few); });
    EXPECT_NE(text.find("Too many open files"), std::string::npos) << few << ": " << text;
  }
}

TEST_F(ProcessTest, NoRoomForThreads_TheCauseAndTheRemedy) {
  if (!MayBecomeSomebodyElse())
    GTEST_SKIP() << "needs root, outside of a sandbox: becomes a user of whom nothing else runs";
  ForSomebodyElse();
  WriteFile(folder_ / "m.toml", "workers = 200\n");
  const std::string text = Refusal(
      [] {
        Limit(RLIMIT_NPROC, 50);
        BecomeSomebodyElse();
      },
      {"--config", folder_ / "m.toml"});
  EXPECT_NE(text.find("cannot start a thread for worker "), std::string::npos) << text;
  EXPECT_NE(text.find("TasksMax="), std::string::npos) << "no remedy: " << text;
}

// ---- files ----

TEST_F(ProcessTest, SocketInAFolderThatMayNotBeSearched_IsASentence) {
  if (!MayBecomeSomebodyElse()) GTEST_SKIP() << "needs root, outside of a sandbox: becomes another user";
  ForSomebodyElse();
  ASSERT_EQ(mkdir((folder_ / "closed").c_str(), 0700), 0);
  const std::string text = Refusal(BecomeSomebodyElse, {"--socket", folder_ / "closed/sub/socket"});
  EXPECT_NE(text.find("Permission denied"), std::string::npos) << text;
}

TEST_F(ProcessTest, NoHome_NeverInTmp) {
  if (!MayBecomeSomebodyElse()) GTEST_SKIP() << "needs root, outside of a sandbox: becomes another user";
  ForSomebodyElse();
  const std::string text = Refusal(
      [] {
        unsetenv("HOME");
        unsetenv("XDG_RUNTIME_DIR");
        BecomeSomebodyElse();
      },
      {"--no-socket"});
  EXPECT_NE(text.find("no place for the socket"), std::string::npos) << text;
}

TEST_F(ProcessTest, TraceTruncated_ServesOnAndSaysSo) {
  const std::string trace = folder_ / "trace";
  const auto daemon = Start({"--trace", trace});
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  AttachAndGo(1);
  ASSERT_EQ(truncate(trace.c_str(), 0), 0);
  for (int i = 0; i < 3; ++i) AttachAndGo(1);
  EXPECT_TRUE(Eventually([&] { return daemon->Log().find("was truncated") != std::string::npos; }))
      << daemon->Log();
  ExpectOrderlyEnd(daemon.get(), SIGTERM);
}

TEST_F(ProcessTest, TraceOfAMediatorThatRunsOrOtherFile_IsKept) {
  const std::string trace = folder_ / "trace";
  const auto daemon = Start({"--trace", trace});
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  AttachAndGo(1);
  const std::string before = ReadFile(trace);
  const auto refusal = [&](const std::string& file, const std::string& name) {
    Daemon second({.socket = folder_ / "second",
                   .flags = {"--backend", "cpu", "--trace", file},
                   .log = folder_ / name});
    EXPECT_EQ(WEXITSTATUS(second.Join()), 1);
    return second.Log();
  };
  EXPECT_NE(refusal(trace, "log2").find("another mediator writes the trace"), std::string::npos);
  EXPECT_EQ(ReadFile(trace), before);
  WriteFile(folder_ / "letter", "Dear Sir or Madam");
  EXPECT_NE(refusal(folder_ / "letter", "log3").find("is no trace"), std::string::npos);
  EXPECT_EQ(ReadFile(folder_ / "letter"), "Dear Sir or Madam");
}

TEST_F(ProcessTest, LockAndSocketTakenAway_TheNextOnesSocketStays) {
  const auto first = Start();
  ASSERT_TRUE(first->Serving()) << first->Log();
  ASSERT_EQ(unlink((socket_ + ".lock").c_str()), 0);
  {
    const auto refused = Start();
    EXPECT_EQ(WEXITSTATUS(refused->Join()), 1);
    EXPECT_NE(refused->Log().find("(pid " + std::to_string(first->pid()) + ") listens on"), std::string::npos)
        << refused->Log();
  }
  ASSERT_EQ(unlink(socket_.c_str()), 0);
  const auto second = Start();
  ASSERT_TRUE(second->Serving()) << second->Log();
  first->Signal(SIGTERM);
  EXPECT_EQ(first->Join(), 0);
  EXPECT_TRUE(second->Serving()) << "its socket went with the first one";
}

// ---- what must not be seen ----

TEST_F(ProcessTest, GuestsMemory_StaysOutOfCoreFiles) {
  const auto daemon = Start();
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  Owner owner({.region_bytes = 1 << 20});
  ASSERT_TRUE(owner.Attach(socket_));
  std::istringstream lines(ReadFile("/proc/" + std::to_string(daemon->pid()) + "/smaps"));
  int regions = 0;
  bool in_region = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("VmFlags:") == std::string::npos) {
      if (line.find('-') < 20) in_region = line.find("/memfd:vgpu") != std::string::npos;
      continue;
    }
    if (!in_region) continue;
    ++regions;
    EXPECT_NE(line.find(" dd"), std::string::npos) << line;
  }
  EXPECT_GT(regions, 0);
}

TEST_F(ProcessTest, SameUser_DoesNotLookIntoIt) {
  if (!MayBecomeSomebodyElse()) GTEST_SKIP() << "needs root, outside of a sandbox: becomes another user";
  ForSomebodyElse();
  // Whom the kernel lets look owns what it shows.
  const auto owner = [this](const char* dumpable) {
    const pid_t pid = StartPrepared([dumpable] {
      unsetenv("VGPU_DUMPABLE");
      if (dumpable != nullptr) setenv("VGPU_DUMPABLE", dumpable, 1);
      BecomeSomebodyElse();
    });
    EXPECT_TRUE(Eventually([this] { return Peer(socket_).connected(); })) << ReadFile(log_);
    struct stat info {};
    EXPECT_EQ(stat(("/proc/" + std::to_string(pid) + "/mem").c_str(), &info), 0);
    kill(pid, SIGTERM);
    waitpid(pid, nullptr, 0);
    return info.st_uid;
  };
  EXPECT_EQ(owner("1"), 54321u);
  EXPECT_EQ(owner(nullptr), 0u);
}

// ---- sandboxes ----

// From now on this process and what it starts get `error` from one system call.
void Forbid(long call, int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(126);
}

TEST_F(ProcessTest, RefusedCalls_AreNamedAtTheStart) {
  struct Case {
    long call;
    int error;
    const char* words;
  };
  for (const Case& refused :
       {Case{SYS_io_uring_setup, EPERM, "io_uring cannot be used"},
        Case{SYS_io_uring_enter, EPERM, "io_uring cannot be used"}, Case{SYS_preadv2, ENOSYS, "preadv2"},
        Case{SYS_flock, ENOLCK, "No locks available"}}) {
    const std::string text = Refusal([&refused] { Forbid(refused.call, refused.error); });
    EXPECT_NE(text.find(refused.words), std::string::npos) << refused.words << ": " << text;
  }
}

}  // namespace
}  // namespace vgpu::test
