// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/stage.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "base/mapping.h"

namespace vgpu::bench::interference {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kCheckEvery{10};
constexpr milliseconds kKeep{100};  // how often threads are looked at
constexpr seconds kStartMax{20}, kReadyMax{90}, kEndMax{15};
constexpr size_t kTailBytes = 1 << 16;
constexpr int64_t kCaughtUpNs = 200'000'000;

// Where this process might run before it took the others' processor: a mediator starts there.
cpu_set_t g_everywhere;

tl::unexpected<std::string> SystemError(const std::string& what) {
  return tl::make_unexpected(fmt::format("cannot {}: {}", what, std::strerror(errno)));
}

std::string Words(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, " | "));
}

// "0-1", as in /proc.
std::string ProcessorsOf(pid_t thread) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(thread, sizeof set, &set) != 0) return "";
  std::vector<int> all;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) all.push_back(cpu);
  }
  return fmt::format("{}", fmt::join(all, ","));
}

// Of the process, and of its children and theirs.
std::vector<pid_t> ThreadsOf(pid_t process) {
  std::vector<pid_t> threads, processes = {process};
  while (!processes.empty()) {
    std::error_code error;
    fs::directory_iterator tasks(fmt::format("/proc/{}/task", processes.back()), error);
    processes.pop_back();
    for (; !error && tasks != fs::directory_iterator(); tasks.increment(error)) {
      threads.push_back(std::atoi(tasks->path().filename().c_str()));
      std::istringstream children(ReadFile(tasks->path() / "children"));
      for (pid_t child; children >> child;) processes.push_back(child);
    }
  }
  return threads;
}

bool MayUse(pid_t thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(thread, sizeof set, &set) == 0 && CPU_ISSET(cpu, &set);
}

}  // namespace

Result<void> TakeOthersCpu(bool pinned) {
  if (sched_getaffinity(0, sizeof g_everywhere, &g_everywhere) != 0) return SystemError("see the processors");
  return pinned ? PinTo(kOthersCpu) : Result<void>();
}

// ---- Pinning ----

Pinning::Pinning(pid_t mediator, bool pinned) : mediator_(mediator), pinned_(pinned) {
  Check();
  started_ = true;
  keeper_ = std::thread([this] {
    for (; !stop_; std::this_thread::sleep_for(kKeep)) Check();
  });
}

Pinning::~Pinning() {
  stop_ = true;
  keeper_.join();
}

void Pinning::Check() {
  const std::lock_guard lock(mutex_);
  const std::vector<pid_t> threads = ThreadsOf(mediator_);
  ring_thread_ = RingThreadOf(mediator_);
  for (const pid_t thread : threads) CheckThread(thread);
}

void Pinning::CheckThread(pid_t thread) {
  Thread& known = threads_[thread];
  if (known.found_on.empty()) known.found_on = ProcessorsOf(thread);
  known.name = ThreadName(thread);  // it may name itself after its birth
  const bool is_ring = thread == ring_thread_;
  if (started_ && !is_ring && pinned_ && MayUse(thread, kRingCpu)) ++strays_;
  // A thread that has just ended cannot be bound, and need not be.
  if (pinned_) std::ignore = PinTo(is_ring ? kRingCpu : kOthersCpu, thread);
  if (const std::string now = ProcessorsOf(thread); !now.empty()) known.runs_on = now;
}

uint64_t Pinning::ring_cpu_ns() const {
  const std::string text = ReadFile(fmt::format("/proc/{}/schedstat", ring_thread_.load()));
  return std::strtoull(text.c_str(), nullptr, 10);
}

nlohmann::json Pinning::ToJson() {
  const std::lock_guard lock(mutex_);
  std::map<std::tuple<std::string, std::string, std::string, bool>, uint64_t> kinds;
  for (const auto& [thread, known] : threads_) {
    ++kinds[{known.name, known.found_on, known.runs_on, thread == ring_thread_}];
  }
  nlohmann::json json = nlohmann::json::array();
  for (const auto& [kind, count] : kinds) {
    const auto& [name, found_on, runs_on, is_ring] = kind;
    json.push_back({{"name", name},
                    {"ring", is_ring},
                    {"threads", count},
                    {"found_on", found_on},
                    {"runs_on", runs_on}});
  }
  return json;
}

uint64_t Pinning::strays() {
  const std::lock_guard lock(mutex_);
  return strays_;
}

// ---- LogReader ----

// Open for writing, too: so it never sees the end, and the mediator need not wait for a reader.
LogReader::LogReader(const std::string& fifo) : fd_(open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
  if (!fd_) throw std::runtime_error(fmt::format("cannot open {}: {}", fifo, std::strerror(errno)));
  thread_ = std::thread([this] { Read(); });
}

LogReader::~LogReader() {
  stop_ = true;
  thread_.join();
}

void LogReader::Read() {
  std::array<char, 1 << 16> buffer;
  while (!stop_) {
    if (paused_) {
      std::this_thread::sleep_for(kCheckEvery);
      continue;
    }
    pollfd wait{fd_.get(), POLLIN, 0};
    if (poll(&wait, 1, 20) <= 0) continue;
    const ssize_t got = read(fd_.get(), buffer.data(), buffer.size());
    if (got <= 0) continue;
    bytes_ += static_cast<uint64_t>(got);
    const std::lock_guard lock(mutex_);
    tail_.append(buffer.data(), static_cast<size_t>(got));
    if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  }
}

std::string LogReader::tail() {
  const std::lock_guard lock(mutex_);
  return tail_;
}

// ---- Mediator ----

Mediator::Mediator(const std::string& folder) : folder_(folder) {}

Result<std::unique_ptr<Mediator>> Mediator::Start(const std::string& binary, const std::string& config,
                                                  const std::string& folder, bool pinned) {
  std::unique_ptr<Mediator> mediator(new Mediator(folder));
  const std::string fifo = folder + "/log";
  if (mkfifo(fifo.c_str(), 0600) != 0) return SystemError("make " + fifo);
  mediator->log_ = std::make_unique<LogReader>(fifo);
  SpawnOptions options;
  options.err = fifo;
  // It starts where it likes: it measures what a wake-up costs.
  cpu_set_t mine;
  sched_getaffinity(0, sizeof mine, &mine);
  sched_setaffinity(0, sizeof g_everywhere, &g_everywhere);
  std::vector<std::string> argv = {binary, "--socket", mediator->socket(), "--backend", "cpu"};
  if (!config.empty()) argv.insert(argv.end(), {"--config", config});
  auto child = Spawn(argv, options);
  sched_setaffinity(0, sizeof mine, &mine);
  if (!child) return tl::make_unexpected(child.error());
  mediator->child_ = std::move(*child);
  const auto deadline = Clock::now() + kStartMax;
  for (Connection operators;
       !operators.Connect(mediator->socket()) || !operators.Hello(VGPU_ROLE_OPERATOR);) {
    if (!mediator->child_.running() || Clock::now() > deadline) {
      std::this_thread::sleep_for(kCheckEvery * 10);  // its last words are on their way
      return tl::make_unexpected(
          fmt::format("{} did not start; it said:\n{}", binary, mediator->log_->tail()));
    }
    std::this_thread::sleep_for(kCheckEvery);
  }
  mediator->pinning_ = std::make_unique<Pinning>(mediator->child_.pid(), pinned);
  return mediator;
}

Held Mediator::held() const {
  Held held;
  std::error_code error;
  fs::directory_iterator descriptors(fmt::format("/proc/{}/fd", child_.pid()), error);
  for (; !error && descriptors != fs::directory_iterator(); descriptors.increment(error)) {
    ++held.all_descriptors;
    std::error_code gone;
    held.descriptors +=
        fs::read_symlink(descriptors->path(), gone).native().find("memfd:attack") != std::string::npos;
  }
  std::istringstream maps(ReadFile(fmt::format("/proc/{}/maps", child_.pid())));
  for (std::string line; std::getline(maps, line);)
    held.mappings += line.find("memfd:attack") != std::string::npos;
  return held;
}

// ---- Program ----

Result<std::unique_ptr<Program>> Program::Start(const std::vector<std::string>& argv) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return SystemError("make a pipe");
  std::unique_ptr<Program> program(new Program);
  program->out_ = UniqueFd(ends[0]);
  const UniqueFd write_end(ends[1]);
  SpawnOptions options;
  options.out_fd = write_end.get();
  auto child = Spawn(argv, options);
  if (!child) return tl::make_unexpected(child.error());
  program->child_ = std::move(*child);
  return program;
}

// False: it will say no more.
bool Program::ReadSome(int timeout_ms) {
  pollfd wait{out_.get(), POLLIN, 0};
  if (poll(&wait, 1, timeout_ms) <= 0) return true;
  std::array<char, 4096> buffer;
  const ssize_t got = read(out_.get(), buffer.data(), buffer.size());
  if (got <= 0) return false;
  rest_.append(buffer.data(), static_cast<size_t>(got));
  for (size_t end; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1)) {
    if (const std::string line = rest_.substr(0, end); line == "READY") {
      ready_ = true;
    } else {
      lines_.push_back(line);
    }
  }
  return true;
}

Result<void> Program::AwaitReady() {
  const auto deadline = Clock::now() + kReadyMax;
  while (!ready_) {
    if (!ReadSome(100)) return tl::make_unexpected("it ended at once: " + Words(lines_));
    if (Clock::now() > deadline)
      return tl::make_unexpected("it is not in place after 90 s: " + Words(lines_));
  }
  return {};
}

void Program::Stop() {
  child_.Signal(SIGTERM);
  const auto deadline = Clock::now() + kEndMax;
  while (ReadSome(20)) {
    if (Clock::now() < deadline) continue;
    lines_.push_back("(did not end, and was killed)");
    break;
  }
  Kill();
}

void Program::Kill() { child_.Kill(); }

// ---- Victim ----

Result<std::unique_ptr<Victim>> Victim::Start(const std::string& name, const std::vector<std::string>& flags,
                                              const Mediator& mediator, const std::string& folder,
                                              uint64_t room) {
  const auto binary = Runfile("bench/interference/victim");
  if (!binary) return tl::make_unexpected(binary.error());
  const std::string file = folder + "/" + name;
  std::vector<std::string> argv = {*binary, "--socket", mediator.socket(),   "--out",
                                   file,    "--room",   std::to_string(room)};
  argv.insert(argv.end(), flags.begin(), flags.end());
  auto program = Program::Start(argv);
  if (!program) return tl::make_unexpected(program.error());
  std::unique_ptr<Victim> victim(new Victim);
  victim->name_ = name;
  victim->program_ = std::move(*program);
  if (const auto ready = victim->program_->AwaitReady(); !ready) {
    return tl::make_unexpected(fmt::format("innocent {}: {}", name, ready.error()));
  }
  const UniqueFd fd(open(file.c_str(), O_RDWR | O_CLOEXEC));
  auto mapping = base::MapShared(fd.get(), RecordFileBytes(room));
  if (!mapping) return tl::make_unexpected(mapping.error());
  victim->mapping_ = std::move(*mapping);
  victim->header_ = reinterpret_cast<const RecordHeader*>(victim->mapping_.data());
  return victim;
}

std::span<const Record> Victim::records() const {
  const auto* records = reinterpret_cast<const Record*>(header_ + 1);
  return {records, header_->count.load(std::memory_order_acquire)};
}

bool Victim::caught_up() const {
  const auto all = records();
  return !all.empty() && NowNs() - all.back().due_ns < kCaughtUpNs;
}

}  // namespace vgpu::bench::interference
