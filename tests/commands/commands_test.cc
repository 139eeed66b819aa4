// SPDX-License-Identifier: Apache-2.0
// mediator, vgpuctl and vgpu-client as their users meet them: what they say to a wrong command line, what
// they do when their output is lost, and what is left of a measurement that is interrupted.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/sanitized.h"
#include "base/unique_fd.h"
#include "guest/subprocess.h"
#include "guest/temp_folder.h"

namespace vgpu::test {
namespace {

using guest::Background;
using guest::Outcome;
using guest::ProgramPath;
using guest::RunProgram;
using Args = std::vector<std::string>;

constexpr const char* kPrograms[] = {"mediator/mediator", "mediator/vgpu-worker", "tools/vgpuctl",
                                     "guest/vgpu-client"};

std::string NameOf(const std::string& program) { return program.substr(program.find('/') + 1); }

Args With(const std::string& program, Args args) {
  args.insert(args.begin(), ProgramPath(program));
  return args;
}

// Runs a program from a shell, which first does `before`; the program is "$@".
Outcome RunAfter(const std::string& before, const Args& argv) {
  Args all = {"/bin/sh", "-c", before, "sh"};
  all.insert(all.end(), argv.begin(), argv.end());
  return RunProgram(all);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// One who may not open what another user owns, though this may be root:
// owner without rights, root without powers.
Args WithoutPowers(Args argv) {
  if (geteuid() == 0)
    argv.insert(argv.begin(), {"/usr/bin/setpriv", "--bounding-set", "-dac_override,-dac_read_search"});
  return argv;
}

TEST(Commands, Version_OfAll) {
  for (const char* program : kPrograms) {
    const Outcome outcome = RunProgram(With(program, {"--version"}));
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.out, NameOf(program) + " 0.1.0\n");
  }
}

TEST(Commands, UsageErrors_ExitTwo_AndSayWhatIsRight) {
  struct Case {
    const char* program;
    Args args;
    const char* text;
  };
  const Case cases[] = {
      {"tools/vgpuctl",
       {},
       "no command is given; commands are status, quarantine, release, trace; see 'vgpuctl --help'"},
      {"tools/vgpuctl",
       {"statsu"},
       "unknown command 'statsu'; commands are status, quarantine, release, trace; see 'vgpuctl --help'"},
      {"tools/vgpuctl",
       {"status", "--sokcet", "s"},
       "unknown option '--sokcet'; see 'vgpuctl status --help'"},
      {"tools/vgpuctl", {"status", "now"}, "unexpected argument 'now'; see 'vgpuctl status --help'"},
      {"tools/vgpuctl", {"trace"}, "FILE is required; see 'vgpuctl trace --help'"},
      {"tools/vgpuctl",
       {"trace", "/no/such"},
       "FILE: cannot read '/no/such': No such file or directory; see 'vgpuctl trace --help'"},
      {"tools/vgpuctl",
       {"status", "--socket", ""},
       "--socket: the value is empty; see 'vgpuctl status --help'"},
      {"mediator/mediator", {"serve"}, "unexpected argument 'serve'; see 'mediator --help'"},
      {"mediator/mediator", {"--sokcet", "s"}, "unknown option '--sokcet'; see 'mediator --help'"},
      {"mediator/mediator",
       {"--backend", "abacus"},
       "--backend: 'abacus' is none of auto, cpu, cuda; see 'mediator --help'"},
      {"mediator/mediator",
       {"--log-level", "loud"},
       "--log-level: 'loud' is none of debug, info, warning, error; see 'mediator --help'"},
      {"mediator/mediator",
       {"--config", "/no/such"},
       "--config: cannot read '/no/such': No such file or directory; see 'mediator --help'"},
      {"mediator/mediator",
       {"--config", "/etc"},
       "--config: '/etc' is a folder; name a file; see 'mediator --help'"},
      {"mediator/vgpu-worker",
       {},
       "the mediator starts this program, with descriptors that it needs: start the mediator"},
      {"mediator/vgpu-worker", {"--gpu", "0"}, "unknown option '--gpu'; see 'vgpu-worker --help'"},
  };
  for (const Case& c : cases) {
    const Outcome outcome = RunProgram(With(c.program, c.args));
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(outcome.err, NameOf(c.program) + ": " + c.text + "\n");
    EXPECT_EQ(outcome.out, "");
  }
}

// Measuring takes minutes: what they say before they measure.
TEST(Commands, Benchmarks_SpeakLikeAllPrograms) {
  const std::pair<Args, const char*> cases[] = {
      {{"bench/programs/gpu", "--only", "nonsense"}, "gpu: --only: 'nonsense' is none of idle, rtt, "},
      {{"bench/programs/gpu", "nonsense"}, "gpu: unexpected argument 'nonsense'; see 'gpu --help'"},
      {{"bench/programs/gpu", "--gpu", "-1"}, "gpu: --gpu: '-1' is not a decimal integer from 0 to "},
      {{"bench/programs/interference", "--seconds", "nan"}, "interference: --seconds: 'nan' is "},
      {{"bench/programs/interference", "--windows", "0"},
       "interference: --windows: '0' is not a decimal integer from 1 to 10000; see 'interference --help'"},
      {{"bench/subjects/nfs/nfs_server_side"},
       "nfs_server_side: FOLDER is required; see 'nfs_server_side --help'"},
      {{"bench/subjects/nfs/nfs_client_side", "/tmp", "--poll-ms", "inf"},
       "nfs_client_side: --poll-ms: 'inf' is "},
      {{"bench/subjects/vector_client"}, "vector_client: no command is given; commands are ring, port; see "},
      {{"bench/subjects/vector_client", "ring", "--elements", "0"},
       "vector_client: --elements: '0' is not a decimal integer from 1"},
  };
  for (const auto& [argv, text] : cases) {
    const Outcome outcome = RunProgram(With(argv[0], Args(argv.begin() + 1, argv.end())));
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with(text)) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    const std::string version = RunProgram(With(argv[0], {"--version"})).out;
    EXPECT_EQ(version, argv[0].substr(argv[0].rfind('/') + 1) + " 0.1.0\n");
  }
}

TEST(Commands, Json_ErrorsHaveOneShape) {
  const std::pair<Args, int> cases[] = {
      {With("tools/vgpuctl", {"--json"}), 2},
      {With("tools/vgpuctl", {"statsu", "--json"}), 2},
      {With("tools/vgpuctl", {"status", "--json", "--socket", "/no/such"}), 3},
      {With("tools/vgpuctl", {"trace", "--json", "/etc/passwd"}), 1},
      {With("guest/vgpu-client", {"info", "--json", "--ring", "9"}), 2},
      {With("guest/vgpu-client", {"info", "--json", "--socket", "/no/such"}), 3},
      // A path that cannot be the socket is a wrong argument.
      {With("tools/vgpuctl", {"status", "--json", "--socket", "/etc/passwd"}), 2},
      {With("guest/vgpu-client", {"info", "--json", "--socket", "/etc/passwd"}), 2},
  };
  for (const auto& [argv, status] : cases) {
    const Outcome outcome = RunProgram(argv);
    EXPECT_EQ(outcome.exit_code, status) << outcome.err;
    const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
    ASSERT_TRUE(json.contains("error")) << outcome.out;
    EXPECT_TRUE(json["error"].value("code", -1) > 0 && json["error"].value("name", "") != "") << outcome.out;
    EXPECT_EQ(outcome.err,
              NameOf(argv[0].substr(argv[0].rfind('/') - 1)) + ": " + json["error"].value("text", "") + "\n");
  }
}

TEST(Commands, Config_WithoutPermission_SaysSo) {
  const guest::TempFolder folder;
  const std::string config = (folder.path() / "m.toml").string();
  std::ofstream(config) << "workers = 1\n";
  chmod(config.c_str(), 0);
  const Outcome outcome = RunProgram(WithoutPowers(With("mediator/mediator", {"--config", config})));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(Says(outcome.err, "--config: cannot read '" + config +
                                    "': Permission denied; run as a user that may read it"))
      << outcome.err;
}

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() {
    mediator_ = std::make_unique<Background>(
        With("mediator/mediator", {"--socket", socket_, "--backend", "cpu", "--trace", trace_}),
        InFolder("log"));
    EXPECT_TRUE(Eventually([&] {
      return RunProgram(Client({"add", "1", "2"})).exit_code == 0;
    })) << ReadAll(InFolder("log"));
  }

  static bool Eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  std::string InFolder(const std::string& name) const { return (folder_.path() / name).string(); }
  Args Client(Args args) const {
    args.insert(args.end(), {"--socket", socket_, "--timeout", "60"});
    return With("guest/vgpu-client", std::move(args));
  }
  Args Ctl(Args args) const {
    args.insert(args.end(), {"--socket", socket_});
    return With("tools/vgpuctl", std::move(args));
  }

  // Has the one program that is attached had so many answers?
  bool Answered(uint64_t count) const {
    const auto status = nlohmann::json::parse(RunProgram(Ctl({"status", "--json"})).out, nullptr, false);
    if (!status.contains("vms") || status["vms"].empty()) return false;
    return status["vms"][0].value("answered", uint64_t{0}) >= count;
  }

  const guest::TempFolder folder_;
  const std::string socket_ = InFolder("s");
  const std::string trace_ = InFolder("trace");
  std::unique_ptr<Background> mediator_;
};

TEST_F(CommandsTest, LostOutput_IsAnErrorEverywhere) {
  const Args commands[] = {
      With("mediator/mediator", {"--help"}),
      With("mediator/mediator", {"--version"}),
      With("tools/vgpuctl", {"--help"}),
      With("tools/vgpuctl", {"trace", trace_}),
      Ctl({"status"}),
      Ctl({"status", "--json"}),
      Client({"--help"}),
      Client({"add", "1", "2"}),
      Client({"info", "--json"}),
      Client({"ping", "--count", "10"}),
      Client({"vadd", "--count", "10"}),
      Client({"bench"}),
  };
  const std::pair<std::string, const char*> losses[] = {
      {R"(exec "$@" >/dev/full)", "No space left on device; make room and run it again"},
      {R"(exec "$@" >&-)", "the standard output is closed"},
      {"rm -f " + InFolder("pipe") + "; mkfifo " + InFolder("pipe") + "; { : <" + InFolder("pipe") +
           "; } & exec >" + InFolder("pipe") + R"(; wait; exec "$@")",
       "its reader has gone"},
      {"ulimit -f 0; exec \"$@\" >" + InFolder("file"), "raise the limit on file sizes"},
  };
  for (const Args& command : commands) {
    for (const auto& [before, text] : losses) {
      const bool makes_a_region = Says(command[0], "client") && command[1] != "--help";
      const bool limited = Says(before, "ulimit");
      // A region, and a sanitizer's memory, are files.
      if (limited && (makes_a_region || base::kSanitized)) continue;
      const Outcome outcome = RunAfter(before, command);
      EXPECT_EQ(outcome.exit_code, 1) << command[0] << " " << command[1] << " after " << before;
      EXPECT_TRUE(Says(outcome.err, ": the output is lost: ")) << outcome.err;
      EXPECT_TRUE(Says(outcome.err, text)) << outcome.err;
    }
  }
}

TEST_F(CommandsTest, LostOutput_DoesNotHideAnotherError) {
  EXPECT_EQ(
      RunAfter(R"(exec "$@" >/dev/full)", With("tools/vgpuctl", {"status", "--json", "--socket", "/no"}))
          .exit_code,
      3);
  EXPECT_EQ(RunAfter(R"(exec "$@" >&- 2>&-)", Client({"add", "1", "x"})).exit_code, 2);
}

TEST_F(CommandsTest, FileSizeLimit_IsASentence) {
  const Outcome outcome = RunAfter(R"(ulimit -f 1024; exec "$@")", Client({"add", "1", "2"}));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_TRUE(Says(outcome.err, "raise the limit on file sizes, ulimit -f")) << outcome.err;
}

TEST_F(CommandsTest, Interrupted_PrintsWhatWasMeasured) {
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const Args& args :
         {Args{"ping", "--count", "1000000000000"}, Args{"vadd", "--count", "1000000000000"}}) {
      const std::string out = InFolder("out");
      std::ofstream(out).close();
      Args json = args;
      json.push_back("--json");
      Background client(Client(json), out);
      ASSERT_TRUE(Eventually([&] { return Answered(args[0] == "vadd" ? 3 : 100); }));
      client.Signal(signal);
      EXPECT_EQ(client.Join(), 0);
      const auto result = nlohmann::json::parse(ReadAll(out), nullptr, false);
      ASSERT_TRUE(result.is_object()) << ReadAll(out);
      EXPECT_TRUE(result.value("interrupted", false)) << result;
      EXPECT_GT(result.value("count", 0), 0) << result;
      EXPECT_EQ(result.value("wrong", -1), 0) << result;
    }
  }
}

TEST_F(CommandsTest, InterruptedWhileItWaits_PrintsWhatWasMeasured) {
  const std::string out = InFolder("out");
  Background client(Client({"ping", "--count", "1000000000000"}), out);
  ASSERT_TRUE(Eventually([&] { return Answered(100); }));
  mediator_->Signal(SIGSTOP);  // from here on no answer comes
  client.Signal(SIGINT);
  EXPECT_EQ(client.Join(), 0);
  EXPECT_TRUE(Says(ReadAll(out), ", interrupted\nlatency p50 ")) << ReadAll(out);
  mediator_->Signal(SIGCONT);
}

TEST_F(CommandsTest, EndedByAnError_PrintsWhatWasMeasured) {
  for (const char* command : {"ping", "vadd"}) {
    const std::string out = InFolder("out");
    std::ofstream(out, std::ios::trunc).close();
    Background client(With("guest/vgpu-client", {"--socket", socket_, "--timeout", "2", command, "--count",
                                                 "1000000000000", "--json"}),
                      out);
    ASSERT_TRUE(Eventually([&] { return Answered(std::string(command) == "vadd" ? 3 : 100); }))
        << command << ": " << ReadAll(out);
    mediator_->Signal(SIGSTOP);  // from here on no answer comes
    EXPECT_EQ(client.Join(), 4);
    mediator_->Signal(SIGCONT);
    const std::string text = ReadAll(out);  // the error's sentence stands before
    const auto result =
        nlohmann::json::parse(text.substr(std::min(text.size(), text.find('{'))), nullptr, false);
    ASSERT_TRUE(result.is_object()) << text;
    EXPECT_FALSE(result.value("interrupted", true)) << result;
    EXPECT_GT(result.value("count", 0), 0) << result;
    EXPECT_EQ(result.value("wrong", -1), 0) << result;
    ASSERT_TRUE(result.contains("error")) << result;
    EXPECT_NE(result["error"].value("text", ""), "") << result;
  }
}

TEST_F(CommandsTest, EndedByTheMediatorsEnd_PrintsTheSummary) {
  Background client(
      With("guest/vgpu-client", {"--socket", socket_, "--timeout", "2", "ping", "--count", "1000000000000"}),
      InFolder("out"));
  ASSERT_TRUE(Eventually([&] { return Answered(100); }));
  mediator_->Signal(SIGKILL);
  EXPECT_GT(client.Join(), 2);  // nobody, or no answer in time
  const std::string text = ReadAll(InFolder("out"));
  EXPECT_TRUE(Says(text, ", ended by an error\nlatency p50 ")) << text;
  EXPECT_TRUE(Says(text, "vgpu-client: ")) << text;
}

TEST_F(CommandsTest, BenchInterrupted_PrintsTheParts) {
  constexpr int kTries = 50;  // it may be through before the signal comes
  const std::string out = InFolder("out");
  for (int tries = 0; tries < kTries; ++tries) {
    std::ofstream(out, std::ios::trunc).close();
    Background client(Client({"bench"}), out);
    ASSERT_TRUE(Eventually([&] { return Answered(2000) || ReadAll(out) != ""; }));
    client.Signal(SIGINT);
    const int status = client.Join();
    const std::string text = ReadAll(out);
    if (!Says(text, "interrupted")) continue;
    EXPECT_EQ(status, Says(text, "latency p50") ? 0 : 1) << text;
    return;
  }
  FAIL() << "no bench of " << kTries << " was interrupted";
}

TEST_F(CommandsTest, LongRun_ShowsProgressOnATerminalOnly) {
  const base::UniqueFd terminal(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(terminal);
  ASSERT_EQ(grantpt(terminal.get()), 0);
  ASSERT_EQ(unlockpt(terminal.get()), 0);
  const Args ping = Client({"ping", "--count", "1000000000000", "--seconds", "1.5"});
  const Outcome looked_at = RunAfter(std::string("exec \"$@\" 2>") + ptsname(terminal.get()), ping);
  EXPECT_EQ(looked_at.exit_code, 0);
  char shown[4096];
  fcntl(terminal.get(), F_SETFL, O_NONBLOCK);
  const ssize_t got = read(terminal.get(), shown, sizeof shown);
  ASSERT_GT(got, 0);
  EXPECT_TRUE(Says(std::string(shown, static_cast<size_t>(got)), " of 1000000000000, 0 wrong, 1."));
  EXPECT_EQ(RunProgram(ping).err, "");
}

TEST_F(CommandsTest, AnotherUsersMediator_SaysWhoMay) {
  chmod(socket_.c_str(), 0);
  for (const Args& command : {Ctl({"status"}), Client({"info"})}) {
    const Outcome outcome = RunProgram(WithoutPowers(command));
    EXPECT_EQ(outcome.exit_code, 3);
    EXPECT_TRUE(Says(outcome.err,
                     "permission denied: the mediator runs as another user; run as root or its user (uid"))
        << outcome.err;
    EXPECT_FALSE(Says(outcome.err, "start")) << outcome.err;
  }
}

TEST_F(CommandsTest, StoppedMediator_IsNotWaitedForForEver) {
  mediator_->Signal(SIGSTOP);
  const Outcome outcome = RunProgram(Ctl({"status"}));
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_TRUE(Says(outcome.err, "the mediator did not answer within 5 s")) << outcome.err;
  mediator_->Signal(SIGCONT);
}

TEST_F(CommandsTest, Trace_AsTextAndAsJson) {
  const Outcome text = RunProgram(With("tools/vgpuctl", {"trace", trace_}));
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_TRUE(Says(text.out, "answered index")) << text.out;
  const Outcome json = RunProgram(With("tools/vgpuctl", {"trace", "--json", trace_}));
  const auto first = nlohmann::json::parse(json.out.substr(0, json.out.find('\n')), nullptr, false);
  ASSERT_TRUE(first.is_object()) << json.out;
  EXPECT_EQ(first.value("event", ""), "taken") << json.out;
}

}  // namespace
}  // namespace vgpu::test
