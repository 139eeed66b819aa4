// SPDX-License-Identifier: Apache-2.0
// Adds one at a time from inside a real VM.
#include <fmt/format.h>

#include <cmath>

#include "bench/figures/gpu/setup.h"
#include "bench/vm/vm_process.h"

namespace vgpu::bench {
namespace {

constexpr std::chrono::seconds kPatience{200};

}  // namespace

Result<void> MeasureVmRtt(Setup* setup) {
  if (const auto why = NoVmBecause()) {
    setup->figures.push_back(Skipped("vm_rtt", *why));
    return {};
  }
  const auto mediator = setup->Mediator("park_s = 0");  // not while the VM boots
  if (!mediator) return tl::make_unexpected(mediator.error());
  const uint32_t rounds = setup->rounds(12);
  VmOptions options;
  options.socket = (*mediator)->socket();
  const auto vm = VmProcess::Boot(
      options, fmt::format("for i in $(seq {}); do vgpu-client ping --count {} --json || exit; done",
                           rounds + 1, setup->quick ? 2'000 : 20'000));
  if (!vm) return tl::make_unexpected(vm.error());
  Figure figure;
  figure.name = "vm_rtt";
  figure.title = "in a VM: RTT p50 of an add, us";
  figure.gate.bound = NAN;
  std::vector<double> p99_us;
  uint64_t count = 0, wrong = 0;
  for (uint32_t round = 0; round <= rounds; ++round) {
    const auto json = (*vm)->Json(kPatience);
    if (!json) return tl::make_unexpected(json.error());
    if (round == 0) continue;  // warming up
    figure.values.push_back((*json)["latency"]["p50_ns"].get<double>() / 1e3);
    p99_us.push_back((*json)["latency"]["p99_ns"].get<double>() / 1e3);
    count += (*json)["count"].get<uint64_t>();
    wrong += (*json)["wrong"].get<uint64_t>();
  }
  figure.note = fmt::format("p99 of a round {:.2f} us; {} requests", Median(p99_us), count);
  figure.detail = {{"p99_us", p99_us}};
  NoteWrong(wrong, &figure);
  setup->figures.push_back(figure);
  return {};
}

}  // namespace vgpu::bench
