// SPDX-License-Identifier: Apache-2.0
// The mediator: wiring only.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <new>
#include <system_error>
#include <thread>

#include "api/device_info.h"
#include "base/bus_error_guard.h"
#include "base/cli/options.h"
#include "base/cli/program.h"
#include "base/missing_pages.h"
#include "base/program.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "mediator/control/control_server.h"
#include "mediator/control/memory_thread.h"
#include "mediator/control/socket_file.h"
#include "mediator/gpu/engine_record.h"
#include "mediator/gpu/engine_starter.h"
#include "mediator/gpu/gpu_engines.h"
#include "mediator/lane/cpu_workers.h"
#include "mediator/lane/lane.h"
#include "mediator/loop/closer.h"
#include "mediator/loop/event_loop.h"
#include "mediator/loop/threads.h"
#include "mediator/loop/uring_loop.h"
#include "mediator/loop/wake_cost.h"
#include "mediator/process/config.h"
#include "mediator/process/log.h"
#include "mediator/process/system_check.h"
#include "mediator/process/trace.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kWatchesPerVm = VGPU_RINGS_MAX + 1;  // kicks
// Of a lane: commands, what computes; of control: operators and the rest.
constexpr uint32_t kWatchesBeside = 256;
constexpr uint32_t kWatchesPerConnection = 2;  // the socket's two directions

struct Flags {
  std::string config;
  std::string socket;
  std::string backend;
  std::string wait;
  std::string trace;
  std::string log_level = "info";
};

bool IsIgnored(int signal) {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

// SIGTERM, SIGINT and SIGHUP end the daemon in an orderly way.
class StopSignals final : public ReadyHandler {
 public:
  StopSignals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (!IsIgnored(SIGHUP)) sigaddset(&set, SIGHUP);  // nohup means it
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    fd_ = base::UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  int fd() const { return fd_.get(); }
  const bool* stop() const { return &stop_; }
  void OnReady() override {
    signalfd_siginfo info;
    if (read(fd_.get(), &info, sizeof info) != sizeof info) return;
    spdlog::info("stopping on {}", strsignal(static_cast<int>(info.ssi_signo)));
    Stop();
  }
  void Stop() { stop_ = true; }

 private:
  base::UniqueFd fd_;
  bool stop_ = false;
};

// An attached VM takes about 24 descriptors; the usual soft limit of 1024 is for programs that use select().
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

base::Result<Config> MakeConfig(const Flags& flags) {
  base::Result<Config> config = flags.config.empty() ? Config() : LoadConfig(flags.config);
  if (!config) return config;
  if (!flags.backend.empty()) {
    const auto backend = ParseBackend(flags.backend);
    if (!backend) return tl::make_unexpected(backend.error());
    config->backend = *backend;
  }
  if (!flags.wait.empty()) {
    const auto wait = ParseWait(flags.wait);
    if (!wait) return tl::make_unexpected(wait.error());
    config->wait = *wait;
  }
  if (!flags.trace.empty()) config->trace = flags.trace;
  if (!flags.socket.empty()) config->socket = flags.socket;
  if (config->socket.empty()) config->socket = DefaultSocket();
  if (config->socket.empty()) {
    return tl::make_unexpected(
        "no place for the socket: neither XDG_RUNTIME_DIR nor HOME is set, and this user has no home in the "
        "password database; name it with --socket");
  }
  return config;
}

uint32_t WorkersOf(const Config& config) {
  const uint32_t cpus = std::max(1u, std::thread::hardware_concurrency());
  return config.workers != 0 ? config.workers : std::clamp(cpus - 1, 1u, kWorkersMax);
}

base::Result<LaneBackend> MakeCpuBackend(uint32_t workers) {
  auto cpu = CpuWorkers::Create(workers);
  if (!cpu) return tl::make_unexpected(cpu.error());
  const DeviceDescriber* describer = cpu->get();
  return LaneBackend{std::move(*cpu), nullptr, nullptr, describer};
}

// `create` is GpuEngines::Create, or CreateWithoutGpu.
base::Result<std::unique_ptr<GpuEngines>> StartEngines(decltype(&GpuEngines::Create) create, EventLoop* loop,
                                                       const Clock* clock, const Config& config,
                                                       GpuEngines::Cpu cpu, const EngineRecord& record) {
  auto starter = EngineStarter::Create(record);
  if (!starter) return tl::make_unexpected(starter.error());
  return create(loop, clock, config.gpu, cpu, std::move(*starter));
}

// A GPU that is there, or one that is looked for again if the CPU may compute until then.
base::Result<std::unique_ptr<GpuEngines>> MakeGpuEngines(EventLoop* loop, const Clock* clock,
                                                         const Config& config, GpuEngines::Cpu cpu,
                                                         const EngineRecord& record) {
  auto engines = StartEngines(GpuEngines::Create, loop, clock, config, cpu, record);
  if (engines) return engines;
  if (config.backend == BackendChoice::kCuda) {
    return tl::make_unexpected(fmt::format("{} (or use --backend cpu)", engines.error()));
  }
  spdlog::info("no GPU, the CPU computes: {}; it is looked for again", engines.error());
  return StartEngines(GpuEngines::CreateWithoutGpu, loop, clock, config, cpu, record);
}

base::Result<LaneBackend> MakeBackend(EventLoop* loop, const Clock* clock, const Config& config) {
  const EngineRecord record(config.socket + ".engines");
  if (const auto ended = record.EndOrphans(); !ended) return tl::make_unexpected(ended.error());
  auto backend = MakeCpuBackend(WorkersOf(config));
  if (!backend || config.backend == BackendChoice::kCpu) return backend;
  auto engines = MakeGpuEngines(loop, clock, config, {backend->workers.get(), backend->describer}, record);
  if (!engines) return tl::make_unexpected(engines.error());
  backend->memory = engines->get();
  backend->describer = engines->get();
  backend->gpus = std::move(*engines);
  return backend;
}

LaneOptions MakeLaneOptions(const char* name, const Config& config, int64_t wake_cost_ns) {
  return {name, config.vms_max * kWatchesPerVm + kWatchesBeside, {config.wait, wake_cost_ns, config.vms_max}};
}

// One worker, and no GPU: what isolated VMs get must not hold up what others get.
base::Result<std::unique_ptr<Lane>> StartIsolatedLane(const Config& config, int64_t wake_cost_ns,
                                                      const Clock* clock) {
  LaneOptions options = MakeLaneOptions("vgpu-suspects", config, wake_cost_ns);
  options.dispatcher.isolated = true;
  return Lane::Start(
      std::move(options), [](EventLoop*) { return MakeCpuBackend(1); }, nullptr, clock);
}

base::Result<void> Serve(const Flags& flags) {
  base::Result<Config> config = MakeConfig(flags);
  if (!config) return tl::make_unexpected(config.error());
  if (const auto system = CheckSystem(); !system) return system;
  if (const auto missing = base::missing_pages::Supported(); !missing) {
    spdlog::warn("a VM that gives up its memory makes this process pay for it: {}", missing.error());
  }
  base::HideProcess();
  // Held until everything else is gone: engines write beside the socket, too.
  const auto lock = LockSocket(config->socket);
  if (!lock) return tl::make_unexpected(lock.error());
  RaiseDescriptorLimit();
  signal(SIGCHLD, SIG_DFL);  // inherited as ignored, it would hide the end of an engine
  base::bus_error_guard::Install();
  const Closer closer;
  StopSignals signals;
  if (signals.fd() < 0) return tl::make_unexpected(Refused("cannot create a signalfd", errno));
  auto loop = MakeUringLoop(config->vms_max * kWatchesPerConnection + kWatchesBeside);
  if (!loop) return tl::make_unexpected(loop.error());
  (*loop)->OnBroken([&signals] { signals.Stop(); });
  if ((*loop)->Watch(signals.fd(), &signals) < 0) return tl::make_unexpected("the event loop has no room");
  std::unique_ptr<Trace> trace;
  if (!config->trace.empty()) {
    auto created = Trace::Create(config->trace, config->trace_records);
    if (!created) return tl::make_unexpected(created.error());
    trace = std::move(*created);
  }
  const base::Result<int64_t> wake_cost_ns = MeasureWakeCostNs();
  if (!wake_cost_ns) return tl::make_unexpected(wake_cost_ns.error());
  const Clock clock;
  auto lane = Lane::Start(
      MakeLaneOptions("vgpu-ring", *config, *wake_cost_ns),
      [&](EventLoop* its_loop) { return MakeBackend(its_loop, &clock, *config); }, trace.get(), &clock);
  if (!lane) return tl::make_unexpected(lane.error());
  auto isolated_lane = StartIsolatedLane(*config, *wake_cost_ns, &clock);
  if (!isolated_lane) return tl::make_unexpected(isolated_lane.error());
  auto memory_thread = MemoryThread::Create(loop->get());
  if (!memory_thread) return tl::make_unexpected(memory_thread.error());
  ControlContext context{&*config, loop->get(), memory_thread->get(), lane->get(), isolated_lane->get(),
                         &clock,   {}};
  (*lane)->Describe('A', &context.device);
  auto server = ControlServer::Create(config->socket, context);
  if (!server) return tl::make_unexpected(server.error());
  spdlog::info("serving {} with the {} backend ({}, driver: {}); a sleep and a wake-up cost {:.1f} us here",
               config->socket, context.device.backend == VGPU_BACKEND_CUDA ? "CUDA" : "CPU",
               context.device.name, context.device.driver, static_cast<double>(*wake_cost_ns) / 1e3);
  (*server)->Run(signals.stop());
  (*lane)->Stop();
  (*isolated_lane)->Stop();
  memory_thread->reset();  // before the connections that its tasks refer to
  for (const std::string* error : {&(*loop)->error(), &(*lane)->error(), &(*isolated_lane)->error()}) {
    if (!error->empty()) return tl::make_unexpected(*error);
  }
  return {};
}

// What the system refuses while parts are made (a thread, memory) ends in a sentence, too.
base::Result<void> ServeOrSayWhyNot(const Flags& flags) try {
  return Serve(flags);
} catch (const std::system_error& error) {
  return tl::make_unexpected(Refused("cannot serve", error.code().value()));
} catch (const std::bad_alloc&) {
  return tl::make_unexpected(Refused("cannot serve", ENOMEM));
}

}  // namespace
}  // namespace vgpu::mediator

int main(int argc, char** argv) {
  using namespace vgpu::mediator;
  namespace cli = vgpu::cli;
  vgpu::base::KeepDescriptors();
  signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes (ulimit -f) is an error to be named, not the end
  Flags flags;
  cli::Program program("mediator",
                       "The vgpu-ring mediator: serves the GPU calls of this host's virtual machines.");
  CLI::App& app = program.app();
  cli::AddReadableFile(app, "--config", &flags.config, "TOML, see docs/configuration.md; flags win over it");
  cli::AddText(app, "--socket", &flags.socket, "control socket (default: " + DefaultSocket() + ")", "PATH");
  cli::AddWord(app, "--backend", &flags.backend, "what computes (default: auto)", {"auto", "cpu", "cuda"});
  cli::AddWord(app, "--wait", &flags.wait, "what the idle loop does (default: adaptive)",
               {"adaptive", "sleep", "spin"});
  cli::AddText(app, "--trace", &flags.trace,
               "write the order of service to this file (vgpuctl trace FILE prints it)", "FILE");
  cli::AddWord(app, "--log-level", &flags.log_level, "what is logged", {"debug", "info", "warning", "error"})
      ->capture_default_str();
  if (const auto status = program.Parse(argc, argv)) return *status;
  signal(SIGPIPE, SIG_IGN);  // the reader of the log may go away
  if (const auto log = StartLog(flags.log_level); !log) {
    fmt::print(stderr, "mediator: {}\n", log.error());
    return EXIT_FAILURE;
  }
  const auto served = ServeOrSayWhyNot(flags);
  if (!served) spdlog::error("{}", served.error());
  FlushLog();
  return served ? EXIT_SUCCESS : EXIT_FAILURE;
}
