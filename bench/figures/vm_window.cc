// SPDX-License-Identifier: Apache-2.0
// A client that knows only the register page, in a VM, looking at STATUS every 50 us; and two host processes
// that wake each other through eventfds. In turns: the host has its round while the VM rests.
#include <fmt/format.h>

#include <chrono>

#include "bench/figures/figures.h"
#include "bench/lib/contest.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/rivals/rivals.h"
#include "bench/vm/vm_process.h"

namespace vgpu::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRest{700};
constexpr std::chrono::seconds kPatience{120};
constexpr uint64_t kWakes = 2'000;

}  // namespace

Result<void> MeasureVmWindow(const Effort& effort, Results* results) {
  const uint32_t rounds = effort.quick ? 5 : 30;
  const uint64_t count = effort.quick ? 200 : 1'000;
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  const auto rival = MakeEventfdPingPong();
  VmOptions options;
  options.socket = (*mediator)->socket();
  auto vm = VmProcess::Boot(
      options,
      fmt::format(
          "for i in $(seq {}); do vgpu-client regs --count {} --poll-us 50 --json || exit; sleep {}; done",
          rounds + 1, count, static_cast<double>(kRest.count()) / 1e3));
  if (!vm) return tl::make_unexpected(vm.error());
  Figure figure;
  figure.name = "vm_window";
  figure.title = "register window RTT in a VM / raw eventfd ping-pong";
  figure.gate = {10, Better::kLower, 4};
  std::vector<double> in_vm, on_host;
  for (uint32_t round = 0; round <= rounds; ++round) {
    const auto json = (*vm)->Json(kPatience);
    if (!json) return tl::make_unexpected(json.error());
    const auto rest_ends = steady_clock::now() + kRest;
    if ((*json)["wrong"].get<uint64_t>() != 0) figure.broken = "there were wrong answers";
    base::Histogram latency_ns;
    rival->Run(kWakes, &latency_ns);
    if (round == 0 || steady_clock::now() > rest_ends) continue;
    in_vm.push_back((*json)["latency"]["p50_ns"].get<double>());
    on_host.push_back(static_cast<double>(latency_ns.Percentile(50)));
  }
  if (in_vm.empty())
    return tl::make_unexpected("the host's rounds took longer than the VM's rests: too much else runs");
  figure.values = Ratios(in_vm, on_host);
  figure.drift = Drift(on_host);
  figure.note =
      fmt::format("p50 of a round: register window {:.1f} us, eventfd ping-pong {:.1f} us; {} requests",
                  Quantile(in_vm, 0.5) / 1e3, Quantile(on_host, 0.5) / 1e3, (rounds + 1) * count);
  figure.detail = {{"vm_p50_ns", in_vm}, {"eventfd_p50_ns", on_host}};
  results->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
