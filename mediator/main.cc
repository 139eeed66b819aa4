// SPDX-License-Identifier: Apache-2.0
// The mediator: wiring only.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "base/cli/options.h"
#include "base/cli/program.h"
#include "engine/engine.h"
#include "engine/options.h"
#include "mediator/background.h"
#include "mediator/backend_cpu.h"
#include "mediator/backend_gpu.h"
#include "mediator/bus_error_guard.h"
#include "mediator/config.h"
#include "mediator/control_server.h"
#include "mediator/dispatcher.h"
#include "mediator/event_loop.h"
#include "mediator/trace.h"
#include "mediator/wake_cost.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kWatchesPerVm = VGPU_RINGS_MAX + 1 + 2;  // kicks, the socket's two directions
constexpr uint32_t kWatchesBeside = 256;                    // operators, listener, signals, backend

struct Flags {
  std::string config;
  std::string socket;
  std::string backend;
  std::string wait;
  std::string trace;
  std::string log_level = "info";
};

// SIGTERM and SIGINT end the daemon in an orderly way.
class StopSignals final : public ReadyHandler {
 public:
  StopSignals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    fd_ = ring::UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  int fd() const { return fd_.get(); }
  const bool* stop() const { return &stop_; }
  void OnReady() override {
    signalfd_siginfo info;
    if (read(fd_.get(), &info, sizeof info) != sizeof info) return;
    spdlog::info("stopping on {}", strsignal(static_cast<int>(info.ssi_signo)));
    stop_ = true;
  }

 private:
  ring::UniqueFd fd_;
  bool stop_ = false;
};

// An attached VM takes about 24 descriptors; the usual soft limit of 1024 is for programs that use select().
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

ring::Result<Config> MakeConfig(const Flags& flags) {
  ring::Result<Config> config = flags.config.empty() ? Config() : LoadConfig(flags.config);
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
  return config;
}

ring::Result<std::unique_ptr<CpuBackend>> MakeCpuBackend(const Config& config) {
  const uint32_t cpus = std::max(1u, std::thread::hardware_concurrency());
  const uint32_t workers = config.workers != 0 ? config.workers : std::max(1u, cpus - 1);
  return CpuBackend::Create(workers);
}

ring::Result<std::unique_ptr<Backend>> MakeBackend(EventLoop* loop, const Config& config) {
  const EngineRecord record(config.socket + ".engines");
  if (const auto ended = record.EndOrphans(); !ended) return tl::make_unexpected(ended.error());
  auto cpu = MakeCpuBackend(config);
  if (!cpu) return tl::make_unexpected(cpu.error());
  if (config.backend == BackendChoice::kCpu) return std::move(*cpu);
  auto gpu = GpuBackend::Create(loop, config.gpu, &*cpu, record);
  if (gpu) return std::move(*gpu);
  if (config.backend == BackendChoice::kCuda) {
    return tl::make_unexpected(fmt::format("{} (or use --backend cpu)", gpu.error()));
  }
  spdlog::info("no GPU, the CPU computes: {}", gpu.error());
  return std::move(*cpu);
}

ring::Result<void> Serve(const Flags& flags) {
  ring::Result<Config> config = MakeConfig(flags);
  if (!config) return tl::make_unexpected(config.error());
  // Held until everything else is gone: engines write beside the socket, too.
  const auto lock = LockSocket(config->socket);
  if (!lock) return tl::make_unexpected(lock.error());
  RaiseDescriptorLimit();
  signal(SIGCHLD, SIG_DFL);  // inherited as ignored, it would hide the end of an engine
  bus_error_guard::Install();
  StopSignals signals;
  auto loop = EventLoop::Create(config->vms_max * kWatchesPerVm + kWatchesBeside);
  if (!loop) return tl::make_unexpected(loop.error());
  if ((*loop)->Watch(signals.fd(), &signals) < 0) return tl::make_unexpected("the event loop has no room");
  auto backend = MakeBackend(loop->get(), *config);
  if (!backend) return tl::make_unexpected(backend.error());
  std::unique_ptr<Trace> trace;
  if (!config->trace.empty()) {
    auto created = Trace::Create(config->trace, config->trace_records);
    if (!created) return tl::make_unexpected(created.error());
    trace = std::move(*created);
  }
  auto background = Background::Create(loop->get());
  if (!background) return tl::make_unexpected(background.error());
  const int64_t wake_cost_ns = MeasureWakeCostNs();
  Dispatcher dispatcher(loop->get(), backend->get(), trace.get(), config->wait, wake_cost_ns);
  ControlContext context{&*config, loop->get(), &dispatcher, background->get(), backend->get(), {}};
  (*backend)->Describe('A', &context.device);
  auto server = ControlServer::Create(config->socket, context);
  if (!server) return tl::make_unexpected(server.error());
  spdlog::info("serving {} with the {} backend ({}, driver: {}); a sleep and a wake-up cost {:.1f} us here", config->socket,
               context.device.backend == VGPU_BACKEND_CUDA ? "CUDA" : "CPU", context.device.name, context.device.driver,
               static_cast<double>(wake_cost_ns) / 1e3);
  dispatcher.Run(signals.stop());
  background->reset();  // before the connections that its jobs refer to
  return {};
}

}  // namespace
}  // namespace vgpu::mediator

int main(int argc, char** argv) {
  using namespace vgpu::mediator;
  namespace cli = vgpu::cli;
  if (argc > 1 && std::string_view(argv[1]) == vgpu::engine::kEngineCommand) return vgpu::engine::EngineMain(argc, argv);
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
  spdlog::set_default_logger(spdlog::stderr_color_mt("vgpu"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ mediator: %v");
  spdlog::set_level(spdlog::level::from_str(flags.log_level));
  const auto served = Serve(flags);
  if (served) return EXIT_SUCCESS;
  spdlog::error("{}", served.error());
  return EXIT_FAILURE;
}
