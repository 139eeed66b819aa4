// SPDX-License-Identifier: Apache-2.0
#include "tests/daemon/daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "tests/daemon/peer.h"

namespace vgpu::test {
namespace {

std::string Proc(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

// The numbers after `key` in all lines that have it.
uint64_t SumOfLines(const std::string& path, const std::string& key) {
  uint64_t sum = 0;
  std::istringstream lines(ReadFile(path));
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find(key);
    if (at != std::string::npos) sum += std::strtoull(line.c_str() + at + key.size(), nullptr, 10);
  }
  return sum;
}

nlohmann::json Status(const std::string& socket) {
  Peer peer(socket);
  peer.Hello(VGPU_ROLE_OPERATOR);
  peer.Send(VGPU_MSG_STATUS);
  const auto reply = peer.Expect(VGPU_MSG_STATUS_REPLY);
  return nlohmann::json::parse(reply.payload, nullptr, false);
}

nlohmann::json StatusAt(const std::string& socket, const std::string& pointer) {
  const nlohmann::json status = Status(socket);
  const nlohmann::json::json_pointer at(pointer);
  if (status.is_discarded() || !status.contains(at)) {
    ADD_FAILURE() << "no " << pointer << " in the status " << status.dump();
    return {};
  }
  return status.at(at);
}

}  // namespace

bool Eventually(const std::function<bool()>& condition, Clock::duration patience) {
  const TimePoint deadline = Clock::now() + patience;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  return true;
}

uint64_t TestSeed() {
  const char* given = std::getenv("VGPU_TEST_SEED");
  std::random_device device;
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : uint64_t{device()} << 32 | device();
  std::printf("VGPU_TEST_SEED=%#llx\n", static_cast<unsigned long long>(seed));
  return seed;
}

TempFolder::TempFolder() {
  std::string path = "/tmp/vgpu-test-XXXXXX";  // not TEST_TMPDIR: a socket's path is short
  if (mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "cannot make a folder in /tmp";
  path_ = path;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void WriteFile(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Daemon::Daemon(DaemonOptions options) : options_(std::move(options)) {
  std::vector<std::string> words = {options_.binary};
  if (!options_.socket.empty()) words.insert(words.end(), {"--socket", options_.socket});
  words.insert(words.end(), options_.flags.begin(), options_.flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  const int log = open(options_.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(log, STDERR_FILENO);
  dup2(log, STDOUT_FILENO);
  setenv("VGPU_DUMPABLE", "1", 0);  // tests look into /proc of it, also as another user than root
  for (const std::string& entry : options_.environment) putenv(const_cast<char*>(entry.c_str()));
  execv(argv[0], argv.data());
  _exit(127);
}

Daemon::~Daemon() { Kill(); }

bool Daemon::Serving() {
  bool ended = false;
  const bool serving = Eventually([&] {
    ended = !Running();
    if (ended) return true;
    // A connection proves nothing: the kernel may keep the listener of a daemon that was
    // killed for a moment longer.
    Peer peer(options_.socket);
    const vgpu_msg_hello hello{VGPU_ABI_VERSION, VGPU_ROLE_OPERATOR};
    return peer.connected() && peer.Send(VGPU_MSG_HELLO, Bytes(hello)) && peer.Receive().has_value();
  });
  return serving && !ended;
}

bool Daemon::Running() {
  if (pid_ < 0) return false;
  if (waitpid(pid_, &status_, WNOHANG) != pid_) return true;
  pid_ = -1;
  return false;
}

void Daemon::Signal(int signal) {
  if (pid_ > 0) kill(pid_, signal);
}

int Daemon::Join() {
  if (!Eventually([this] { return !Running(); })) return -1;
  return status_;
}

void Daemon::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, &status_, 0);
  pid_ = -1;
}

uint64_t Daemon::StatusNumber(const std::string& pointer) {
  const nlohmann::json value = StatusAt(options_.socket, pointer);
  return value.is_number() ? value.get<uint64_t>() : 0;
}

std::string Daemon::StatusText(const std::string& pointer) {
  const nlohmann::json value = StatusAt(options_.socket, pointer);
  return value.is_string() ? value.get<std::string>() : "";
}

uint64_t Daemon::VmCount() { return StatusAt(options_.socket, "/vms").size(); }

uint64_t Daemon::CpuTicks() const {
  const std::string stat = ReadFile(Proc(pid_, "stat"));
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::vector<std::string> field{std::istream_iterator<std::string>(fields), {}};
  return std::stoull(field.at(11)) + std::stoull(field.at(12));  // utime and stime
}

uint64_t ContextSwitchesOf(pid_t pid) {
  uint64_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator(Proc(pid, "task"))) {
    count += SumOfLines(task.path().string() + "/status", "ctxt_switches:");
  }
  return count;
}

uint64_t Daemon::ResidentKib() const { return SumOfLines(Proc(pid_, "status"), "VmRSS:"); }

size_t Daemon::Descriptors() const {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(Proc(pid_, "fd"))) ++count;
  return count;
}

size_t Daemon::MappedMemfds() const {
  size_t count = 0;
  std::istringstream maps(ReadFile(Proc(pid_, "maps")));
  for (std::string line; std::getline(maps, line);) count += line.find("/memfd:vgpu") != std::string::npos;
  return count;
}

}  // namespace vgpu::test
