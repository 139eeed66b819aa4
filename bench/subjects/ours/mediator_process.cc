// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/mediator_process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <thread>

namespace vgpu::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kStartMax{20};
constexpr milliseconds kCheckEvery{10};
constexpr std::string_view kRingThread = "vgpu-ring";

}  // namespace

std::string ThreadName(pid_t thread) {
  std::string name = ReadFile(fmt::format("/proc/{}/comm", thread));
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

pid_t RingThreadOf(pid_t mediator) {
  std::error_code error;
  std::filesystem::directory_iterator task(fmt::format("/proc/{}/task", mediator), error);
  for (; !error && task != std::filesystem::directory_iterator(); task.increment(error)) {
    const pid_t thread = std::atoi(task->path().filename().c_str());
    if (ThreadName(thread) == kRingThread) return thread;
  }
  return mediator;
}

Result<std::unique_ptr<MediatorProcess>> MediatorProcess::Start(const MediatorOptions& options) {
  const auto binary = Runfile(options.binary);
  const auto vgpuctl = Runfile("tools/vgpuctl");
  if (!binary) return tl::make_unexpected(binary.error());
  if (!vgpuctl) return tl::make_unexpected(vgpuctl.error());
  std::unique_ptr<MediatorProcess> mediator(new MediatorProcess);
  mediator->vgpuctl_ = *vgpuctl;
  SpawnOptions spawn;
  spawn.cpu = options.spread ? kElsewhere : options.cpu;
  spawn.err = mediator->folder_ / "log";
  spawn.environment = options.environment;
  std::vector<std::string> argv = {*binary,         "--socket", mediator->socket(), "--backend",
                                   options.backend, "--wait",   options.wait};
  if (!options.config.empty()) {
    const std::string file = mediator->folder_ / "config.toml";
    std::ofstream(file) << options.config;
    argv.insert(argv.end(), {"--config", file});
  }
  auto child = Spawn(argv, spawn);
  if (!child) return tl::make_unexpected(child.error());
  mediator->child_ = std::move(*child);
  const auto deadline = std::chrono::steady_clock::now() + kStartMax;
  while (!mediator->Status()) {
    if (!mediator->child_.running() || std::chrono::steady_clock::now() > deadline) {
      return tl::make_unexpected(fmt::format("the mediator did not start; it said:\n{}", mediator->log()));
    }
    std::this_thread::sleep_for(kCheckEvery);
  }
  if (options.spread) {
    if (const auto pinned = PinTo(options.cpu, RingThreadOf(mediator->pid())); !pinned)
      return tl::make_unexpected(pinned.error());
  }
  return mediator;
}

Result<nlohmann::json> MediatorProcess::Status() const {
  const TempDir folder;
  SpawnOptions spawn;
  spawn.out = folder / "status";
  auto child = Spawn({vgpuctl_, "status", "--socket", socket(), "--json"}, spawn);
  if (!child) return tl::make_unexpected(child.error());
  if (child->Wait() != 0) return tl::make_unexpected("vgpuctl status failed");
  auto json = nlohmann::json::parse(ReadFile(spawn.out), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return tl::make_unexpected("vgpuctl status printed no JSON");
  return json;
}

Result<void> MediatorProcess::AwaitRunsOn(uint32_t vm_id, const std::string& where) const {
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  while (std::chrono::steady_clock::now() < deadline) {
    const auto status = Status();
    if (!status) return tl::make_unexpected(status.error());
    for (const auto& vm : (*status)["vms"]) {
      if (vm["vm_id"] == vm_id && vm["runs_on"].get<std::string>().starts_with(where)) return {};
    }
    std::this_thread::sleep_for(kCheckEvery);  // to say so costs the loop that is measured
  }
  return tl::make_unexpected(fmt::format("VM {} does not come onto: {}", vm_id, where));
}

Result<std::unique_ptr<guest::Client>> OpenGuest(const MediatorProcess& mediator,
                                                 const guest::HostOptions& options) {
  guest::HostOptions complete = options;
  complete.socket = mediator.socket();
  const auto deadline = guest::Clock::now() + seconds(10);
  auto transport = guest::HostTransport::Open(complete, deadline);
  if (!transport) return tl::make_unexpected(transport.error().text);
  auto client = guest::Client::Open(std::move(*transport), 0, deadline);
  if (!client) return tl::make_unexpected(client.error().text);
  return std::move(*client);
}

}  // namespace vgpu::bench
