// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/channel.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/gpu/engine_environment.h"
#include "mediator/loop/threads.h"

namespace vgpu::mediator {
namespace {

std::string Errno(const char* what) { return Refused(what, errno); }

// Lets what is started while it lives run on `cpus`.
class Affinity {
 public:
  explicit Affinity(const cpu_set_t& cpus) {
    changed_ = sched_getaffinity(0, sizeof own_, &own_) == 0 && !CPU_EQUAL(&own_, &cpus) &&
               sched_setaffinity(0, sizeof cpus, &cpus) == 0;
  }
  ~Affinity() {
    if (changed_) sched_setaffinity(0, sizeof own_, &own_);
  }
  Affinity(const Affinity&) = delete;
  Affinity& operator=(const Affinity&) = delete;

 private:
  cpu_set_t own_{};
  bool changed_ = false;
};

// Starts `worker`. `fds` become kSocketFd, kAreaFd and kKickFd, and it has no others: exec closes all
// (base::KeepDescriptors). Returns its pid, or -errno. Not fork(), after which the loop would pay a page
// fault for every page that it writes to: 5 ms of everybody's time.
pid_t Spawn(int worker, std::vector<std::string> words, const std::array<int, 3>& fds) {
  std::vector<base::UniqueFd> high;  // out of the way of the numbers that they become
  for (const int fd : {fds[0], fds[1], fds[2], worker}) {
    high.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, engine::kKickFd + 1));
    // EINVAL: the limit is below even that number.
    if (!high.back()) return errno == EINVAL ? -EMFILE : -errno;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (size_t i = 0; i < fds.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, high[i].get(), engine::kSocketFd + static_cast<int>(i));
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t ours;  // what the mediator ignores is nothing to inherit
  sigemptyset(&ours);
  for (const int sign : {SIGPIPE, SIGXFSZ}) sigaddset(&ours, sign);
  posix_spawnattr_setsigdefault(&attributes, &ours);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables = EngineEnvironment(environ);
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  const std::string program = fmt::format("/proc/self/fd/{}", high.back().get());
  pid_t pid;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -error;
}

std::vector<std::string> Arguments(const engine::EngineOptions& options) {
  return {"vgpu-engine",
          engine::kEngineCommand,
          std::to_string(getpid()),
          engine::kReleaseOption,
          engine::Release(),
          "--gpu",
          std::to_string(options.gpu),
          "--driver",
          options.driver_library,
          "--resident",
          std::to_string(options.resident),
          "--idle-ms",
          std::to_string(options.idle_ms),
          "--park-s",
          std::to_string(options.park_s),
          "--start-ms",
          std::to_string(options.start_ms),
          "--delay-ms",
          std::to_string(options.delay_ms)};
}

constexpr const char* kDiedAtStart = "the GPU's engine died at its start";

std::string WhyNoMessage(const base::ChannelError& error) {
  switch (error.fault) {
    case base::ChannelFault::kVersion:
      return fmt::format(
          "its vgpu-worker speaks protocol {} instead of {}: install both of one release, and start the "
          "mediator again",
          error.value, engine::kProtocol);
    case base::ChannelFault::kNoFdsLeft:
    case base::ChannelFault::kCutOff: return "it ended in the middle of a message";
    case base::ChannelFault::kForeign:
    case base::ChannelFault::kTooLong:
    case base::ChannelFault::kTooManyFds: break;
  }
  return "it sends what is no message";
}

// What an engine says that ends.
std::string TextIn(const base::Frame<base::UniqueFd>& frame) {
  const auto* message = frame.As<engine::TextMessage>();
  return message != nullptr ? engine::TextOf(message->text) : "it says what no engine says";
}

// False: it is no such message.
bool TakeHello(const base::Frame<base::UniqueFd>& frame, engine::ReadyMessage* hello) {
  const auto* message = frame.As<engine::ReadyMessage>();
  if (frame.type != engine::kReady || message == nullptr) return false;
  *hello = *message;
  hello->name[sizeof hello->name - 1] = 0;
  hello->driver[sizeof hello->driver - 1] = 0;
  return true;
}

}  // namespace

base::Result<std::unique_ptr<EngineProcess>> EngineProcess::Start(int worker,
                                                                  const engine::EngineOptions& options,
                                                                  const cpu_set_t& cpus) {
  auto area_fd = base::MakeSealedMemfd("vgpu-engine", sizeof(engine::Area));
  if (!area_fd) return tl::make_unexpected(area_fd.error());
  auto area = base::MapShared(area_fd->get(), sizeof(engine::Area));
  if (!area) return tl::make_unexpected(area.error());
  if (const auto present = base::Populate(*area); !present) return tl::make_unexpected(present.error());
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return tl::make_unexpected(Errno("cannot create a socket pair"));
  }
  base::Channel channel{base::UniqueFd(sockets[0]), engine::kEngineFormat};
  const base::UniqueFd theirs(sockets[1]);
  base::UniqueFd kick(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!kick) return tl::make_unexpected(Errno("cannot create an eventfd"));

  std::unique_ptr<EngineProcess> process(
      new EngineProcess(std::move(channel), std::move(*area), std::move(kick)));
  const Affinity affinity(cpus);
  const pid_t pid = Spawn(worker, Arguments(options), {theirs.get(), area_fd->get(), process->kick_.get()});
  if (pid < 0) return tl::make_unexpected(Refused("cannot start an engine process", -pid));
  process->pid_ = pid;
  process->pidfd_ = base::UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process->pidfd_) return tl::make_unexpected(Errno("cannot watch the engine process"));
  return process;
}

EngineProcess::EngineProcess(base::Channel channel, base::Mapping area, base::UniqueFd kick)
    : channel_(std::move(channel)), area_(std::move(area)), kick_(std::move(kick)) {
  socket_ready_.process = process_gone_.process = this;
}

EngineProcess::~EngineProcess() {
  assert(socket_watch_ < 0 && process_watch_ < 0);
  if (pid_ < 0) return;
  Kill();
  Reap();
}

bool EngineProcess::Watch(EventLoop* loop, EngineOwner* owner) {
  loop_ = loop;
  owner_ = owner;
  socket_watch_ = loop->Watch(channel_.fd(), &socket_ready_);
  process_watch_ = loop->Watch(pidfd_.get(), &process_gone_);
  if (socket_watch_ >= 0 && process_watch_ >= 0) return true;
  Unwatch();
  return false;
}

void EngineProcess::Unwatch() {
  for (int* watch : {&socket_watch_, &process_watch_}) {
    if (*watch >= 0) loop_->Unwatch(std::exchange(*watch, -1));
  }
}

base::Result<void> EngineProcess::AwaitReady(std::chrono::milliseconds patience) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + patience;
  Frame frame;
  for (;;) {
    const auto received = channel_.Receive(&frame);
    if (!received) return tl::make_unexpected(WhyNoMessage(received.error()));
    if (*received == base::Received::kClosed) return tl::make_unexpected(std::string(kDiedAtStart));
    if (*received == base::Received::kFrame) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd socket{channel_.fd(), POLLIN, 0};
    if (left <= 0 || poll(&socket, 1, static_cast<int>(left)) == 0) {
      return tl::make_unexpected(
          fmt::format("the GPU's engine is not ready after {} s", patience.count() / 1000));
    }
  }
  if (!TakeHello(frame, &hello_)) return tl::make_unexpected(TextIn(frame));
  ready_ = true;
  return {};
}

void EngineProcess::Register(uint32_t region, const vgpu_layout& layout, const engine::MessageFds& fds) {
  holds_[region] = true;
  Ask({engine::kRegister, {region, 0, layout}, fds});
}

void EngineProcess::Unregister(uint32_t region) { Ask({engine::kUnregister, {region, 0, {}}, {}}); }

void EngineProcess::Ask(const Registration& registration) {
  registrations_.push_back(registration);
  if (registrations_.size() == 1) SendNext();
}

void EngineProcess::SendNext() {
  if (!registrations_.empty() && !Send(registrations_.front())) Fail("it does not take messages");
}

bool EngineProcess::Send(const Registration& registration) const {
  const int both[] = {registration.fds.region, registration.fds.rings};
  const size_t fds = both[0] < 0 ? 0 : both[1] < 0 ? 1 : 2;
  const engine::RegionMessage region{registration.message.region, 0};
  const std::string_view bytes = registration.type == engine::kRegister
                                     ? engine::BytesOf(registration.message)
                                     : engine::BytesOf(region);
  return base::SendFrame(channel_.fd(), engine::kEngineFormat, registration.type, bytes,
                         std::span(both, fds));
}

void EngineProcess::Kill() {
  if (!reaped_) kill(pid_, SIGKILL);  // ours until we have waited for it
}

void EngineProcess::Reap() {
  if (!reaped_) waitpid(pid_, nullptr, 0);
  reaped_ = true;
}

void EngineProcess::Fail(const std::string& reason) {
  if (failed_) return;
  failed_ = true;
  ready_ = false;
  owner_->OnEngineFailed(this, reason);
}

void EngineProcess::NoteBlamedRegion() {
  if (blamed_region_ >= 0 || registrations_.empty() || registrations_.front().type != engine::kRegister)
    return;
  blamed_region_ = static_cast<int>(registrations_.front().message.region);
}

void EngineProcess::OnMessage() {
  for (;;) {
    Frame frame;
    const auto received = channel_.Receive(&frame);
    if (received && *received == base::Received::kNothingYet) return;
    if (received && *received == base::Received::kFrame) {
      Handle(frame);
      continue;
    }
    loop_->Unwatch(std::exchange(socket_watch_, -1));
    return Fail(received ? "it ended" : WhyNoMessage(received.error()));
  }
}

void EngineProcess::Handle(const Frame& frame) {
  if (frame.type == engine::kFailed) return Fail(TextIn(frame));
  if (frame.type == engine::kHangs) {
    NoteBlamedRegion();
    return Fail(TextIn(frame));
  }
  if (frame.type == engine::kReady && !ready_ && !failed_ && TakeHello(frame, &hello_)) {
    ready_ = true;
    return owner_->OnEngineReady(this);
  }
  if (frame.type == engine::kIdle && ready_) return owner_->OnEngineIdle(this);
  const auto* registered = frame.As<engine::RegisteredMessage>();
  if (registered != nullptr && Answers(frame.type, registered->region)) return HandleRegistered(*registered);
  const auto* unregistered = frame.As<engine::RegionMessage>();
  if (unregistered != nullptr && Answers(frame.type, unregistered->region))
    return HandleUnregistered(*unregistered);
  Fail("it answers what nobody asked");
}

// Is it the answer to what is under way?
bool EngineProcess::Answers(uint32_t type, uint32_t region) const {
  return !registrations_.empty() && registrations_.front().message.region == region &&
         registrations_.front().type + 1u == type;
}

void EngineProcess::HandleRegistered(const engine::RegisteredMessage& message) {
  registrations_.pop_front();
  SendNext();
  uses_[message.region] = message.ok != 0;
  // A question about it that is still to be asked has an answer, too.
  const auto same = [&](const Registration& registration) {
    return registration.message.region == message.region;
  };
  holds_[message.region] = message.ok != 0 || std::any_of(registrations_.begin(), registrations_.end(), same);
  owner_->OnRegistered(this, message.region, message.ok != 0 ? "" : engine::TextOf(message.text));
}

void EngineProcess::HandleUnregistered(const engine::RegionMessage& message) {
  registrations_.pop_front();
  SendNext();
  uses_[message.region] = false;
  holds_[message.region] = false;
  owner_->OnUnregistered(this, message.region);
}

void EngineProcess::OnGone() {
  // What it said last comes first.
  if (socket_watch_ >= 0) OnMessage();
  // A look only: to reap it takes what the process table takes.
  siginfo_t end{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &end, WEXITED | WNOHANG | WNOWAIT) != 0 || end.si_pid != pid_)
    return;
  const bool crashed = end.si_code == CLD_KILLED || end.si_code == CLD_DUMPED;
  if (crashed && end.si_status != SIGKILL) NoteBlamedRegion();
  Unwatch();
  Fail("it ended");
  holds_.reset();
  uses_.reset();
  registrations_.clear();
  owner_->OnEngineGone(this);
}

}  // namespace vgpu::mediator
