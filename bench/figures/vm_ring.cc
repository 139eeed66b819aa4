// SPDX-License-Identifier: Apache-2.0
// The same program, `vgpu-client ping`, in a VM and on the host, against one mediator. The VM runs a round
// and rests; while it rests the host has its round.
#include <fmt/format.h>

#include <chrono>

#include "bench/figures/figures.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/vm/vm_process.h"

namespace vgpu::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRest{700};
constexpr std::chrono::seconds kPatience{120};

struct Ping {
  double p50_ns = 0;
  uint64_t count = 0;
  uint64_t wrong = 0;
};

Ping PingOf(const nlohmann::json& json) {
  return {json["latency"]["p50_ns"].get<double>(), json["count"].get<uint64_t>(),
          json["wrong"].get<uint64_t>()};
}

Result<Ping> PingFromHost(const std::string& socket, uint64_t count) {
  const auto client = Runfile("guest/vgpu-client");
  if (!client) return tl::make_unexpected(client.error());
  const TempDir folder;
  SpawnOptions spawn;
  spawn.cpu = kClientCpu;
  spawn.out = folder / "out";
  spawn.err = folder / "err";
  auto child =
      Spawn({*client, "--socket", socket, "ping", "--count", std::to_string(count), "--json"}, spawn);
  if (!child) return tl::make_unexpected(child.error());
  if (child->Wait() != 0) return tl::make_unexpected("vgpu-client failed: " + ReadFile(spawn.err));
  return PingOf(nlohmann::json::parse(ReadFile(spawn.out)));
}

}  // namespace

Result<void> MeasureVmRing(const Effort& effort, Results* results) {
  const uint32_t rounds = effort.quick ? 5 : 30;
  const uint64_t count = effort.quick ? 5'000 : 20'000;
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  VmOptions options;
  options.socket = (*mediator)->socket();
  auto vm = VmProcess::Boot(
      options,
      fmt::format("for i in $(seq {}); do vgpu-client ping --count {} --json || exit; sleep {}; done",
                  rounds + 1, count, static_cast<double>(kRest.count()) / 1e3));
  if (!vm) return tl::make_unexpected(vm.error());
  Figure figure;
  figure.name = "vm_ring";
  figure.title = "in a VM: ring RTT / the same between host processes";
  figure.gate = {1.5, Better::kLower, 1.1};
  std::vector<double> in_vm, on_host;
  uint64_t answered = 0;
  for (uint32_t round = 0; round <= rounds; ++round) {
    const auto json = (*vm)->Json(kPatience);
    if (!json) return tl::make_unexpected(json.error());
    const auto rest_ends = steady_clock::now() + kRest;
    const Ping guest = PingOf(*json);
    const auto host = PingFromHost(options.socket, count);
    if (!host) return tl::make_unexpected(host.error());
    if (guest.wrong + host->wrong != 0) figure.broken = "there were wrong answers";
    answered += guest.count + host->count;
    if (round == 0 || steady_clock::now() > rest_ends) continue;  // warming up; or the VM has gone on already
    in_vm.push_back(guest.p50_ns);
    on_host.push_back(host->p50_ns);
  }
  if (in_vm.empty())
    return tl::make_unexpected("the host's rounds took longer than the VM's rests: too much else runs");
  figure.values = Ratios(in_vm, on_host);
  figure.drift = Drift(on_host);
  figure.note = fmt::format("p50 of a round: VM {:.0f} ns, host {:.0f} ns; {} requests, all answers right",
                            Quantile(in_vm, 0.5), Quantile(on_host, 0.5), answered);
  figure.detail = {{"vm_p50_ns", in_vm}, {"host_p50_ns", on_host}};
  results->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
