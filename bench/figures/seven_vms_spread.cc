// SPDX-License-Identifier: Apache-2.0
// Seven VMs at once, of two pools and three classes. All of QEMU shares one core, the mediator has the other,
// so that what differs between VMs is how the mediator serves them.
//
// They begin at the same moment: the mediator is stopped (SIGSTOP) while the VMs boot and start their
// programs, which then wait for their rings to be opened, and goes on when all seven do. Each does its
// requests in one go. What the mediator counts for each in intervals in which all seven are at work is
// divided by the processor time that the VM's QEMU had in that interval: how the kernel shares a core among
// seven processes is not the mediator's doing, and varies by tens of per cent.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include "bench/figures/figures.h"
#include "bench/figures/seven_vms.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/vm/vm_process.h"

namespace vgpu::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kIntervalsMin = 3;
constexpr std::chrono::seconds kPatience{400};
constexpr milliseconds kProgramStart{2'500};  // from "ready" until even the slowest VM waits for its ring
constexpr milliseconds kPoll{20};
constexpr milliseconds kInterval{1'000};
// Of most pages every line costs the same to hand over, of a few half as much again or twice as much
// (//bench:page_cost): a ring of four pages may have one of these, or none.
// Of so many pages each VM has its share.
constexpr uint32_t kEntries = VGPU_ENTRIES_MAX;

struct Kind {
  const char* pool;
  const char* priority;
};
constexpr std::array<Kind, kSevenVms> kKinds = {{{"A", "high"},
                                                 {"B", "high"},
                                                 {"A", "medium"},
                                                 {"B", "medium"},
                                                 {"A", "medium"},
                                                 {"B", "low"},
                                                 {"A", "low"}}};

using Answered = std::array<uint64_t, kSevenVms>;  // by VM

// What was answered until some moment, and the processor time that each VM's QEMU had used by then.
struct Sample {
  Answered answered{};
  std::array<uint64_t, kSevenVms> cpu_ns{};
};

// Nothing if not all VMs are attached: one has not come, or has ended.
Result<std::optional<Answered>> AnsweredOf(const MediatorProcess& mediator) {
  const auto status = mediator.Status();
  if (!status) return tl::make_unexpected(status.error());
  const auto& vms = (*status)["vms"];
  if (vms.size() != kSevenVms) return std::optional<Answered>();
  Answered answered{};
  for (const auto& vm : vms) answered.at(vm["vm_id"].get<uint32_t>() - 1) = vm["answered"].get<uint64_t>();
  return answered;
}

// The largest, over the classes, of (max - min) / mean of the VMs of one class.
double SpreadInClasses(const std::array<double, kSevenVms>& work) {
  std::map<std::string, std::vector<double>> classes;
  for (uint32_t i = 0; i < kSevenVms; ++i) classes[kKinds[i].priority].push_back(work[i]);
  double worst = 0;
  for (const auto& [name, done] : classes) {
    double sum = 0;
    for (const double d : done) sum += d;
    const auto [low, high] = std::minmax_element(done.begin(), done.end());
    worst = std::max(worst, (*high - *low) / (sum / static_cast<double>(done.size())));
  }
  return worst;
}

class SevenVms {
 public:
  explicit SevenVms(uint64_t requests) : requests_(requests) {}

  Result<void> Start() {
    auto mediator = MediatorProcess::Start({});
    if (!mediator) return tl::make_unexpected(mediator.error());
    mediator_ = std::move(*mediator);
    // Each VM's program at the same addresses: where its memory lies in the emulator's translation cache
    // makes tens of per cent, for the whole life of the program.
    const std::string script = fmt::format(
        "echo 0 >/proc/sys/kernel/randomize_va_space; echo ready; vgpu-client --timeout 300 ping --count {} "
        "--json",
        requests_);
    for (uint32_t i = 0; i < kSevenVms; ++i) {
      VmOptions options;
      options.socket = mediator_->socket();
      options.vm_id = i + 1;
      options.pool = kKinds[i].pool;
      options.priority = kKinds[i].priority;
      options.entries = kEntries;
      auto vm = VmProcess::Boot(options, script);
      if (!vm) return tl::make_unexpected(vm.error());
      vms_.push_back(std::move(*vm));
    }
    if (const auto attached = AwaitAttached(); !attached) return attached;
    mediator_->Signal(SIGSTOP);
    const auto ready = AwaitReady();
    mediator_->Signal(SIGCONT);
    return ready;
  }

  struct Outcome {
    std::vector<double> spreads;  // of each interval
    std::vector<double> wrong;    // of each VM
    uint64_t answered = 0;        // in the intervals
  };
  Result<Outcome> Run() {
    const auto samples = SampleWhileAllWork();
    if (!samples) return tl::make_unexpected(samples.error());
    Outcome outcome;
    for (auto& vm : vms_) {
      const auto json = vm->Json(kPatience);
      if (!json) return tl::make_unexpected(json.error());
      outcome.wrong.push_back((*json)["wrong"].get<double>());
    }
    for (size_t interval = 0; interval + 1 < samples->size(); ++interval) {
      const Sample& from = (*samples)[interval];
      const Sample& to = (*samples)[interval + 1];
      std::array<double, kSevenVms> rates{};
      for (uint32_t i = 0; i < kSevenVms; ++i) {
        const uint64_t answered = to.answered[i] - from.answered[i];
        outcome.answered += answered;
        rates[i] = static_cast<double>(answered) /
                   static_cast<double>(std::max<uint64_t>(1, to.cpu_ns[i] - from.cpu_ns[i]));
      }
      outcome.spreads.push_back(SpreadInClasses(rates));
    }
    return outcome;
  }

 private:
  Result<void> AwaitAttached() {
    const auto deadline = steady_clock::now() + kPatience;
    for (;;) {
      const auto answered = AnsweredOf(*mediator_);
      if (!answered) return tl::make_unexpected(answered.error());
      if (*answered) return {};
      if (steady_clock::now() > deadline) return tl::make_unexpected("not all VMs attached in time");
      std::this_thread::sleep_for(kPoll);
    }
  }

  Result<void> AwaitReady() {
    for (auto& vm : vms_) {
      const auto line = vm->Line(kPatience);
      if (!line) return tl::make_unexpected(line.error());
      if (*line != "ready") return tl::make_unexpected("a guest's program failed: " + *line);
    }
    std::this_thread::sleep_for(kProgramStart);
    return {};
  }

  // One sample at each border of the intervals in which all VMs were at work.
  Result<std::vector<Sample>> SampleWhileAllWork() {
    const auto deadline = steady_clock::now() + kPatience;
    std::vector<Sample> samples;
    auto border = steady_clock::now();
    for (;;) {
      Sample sample;
      const auto answered = AnsweredOf(*mediator_);
      if (!answered) return tl::make_unexpected(answered.error());
      if (!*answered) break;
      sample.answered = **answered;
      for (uint32_t i = 0; i < kSevenVms; ++i) sample.cpu_ns[i] = vms_[i]->QemuCpuNs();
      const auto [least, most] = std::minmax_element(sample.answered.begin(), sample.answered.end());
      if (*most >= requests_) break;
      if (steady_clock::now() > deadline) return tl::make_unexpected("the seven VMs were not served in time");
      if (*least == 0) {
        std::this_thread::sleep_for(kPoll);
        border = steady_clock::now();
        continue;
      }
      samples.push_back(sample);
      border += kInterval;
      std::this_thread::sleep_until(border);
    }
    if (samples.size() <= kIntervalsMin)
      return tl::make_unexpected("the seven VMs were hardly ever at work together");
    return samples;
  }

  const uint64_t requests_;
  std::unique_ptr<MediatorProcess> mediator_;
  std::vector<std::unique_ptr<VmProcess>> vms_;
};

}  // namespace

Result<void> MeasureSevenVmsSpread(const Effort& effort, Results* results) {
  // 100,000 would be over in less time than the kernel needs to share a core fairly among seven.
  const uint64_t requests = effort.quick ? 4'000'000 : 5'000'000;
  SevenVms vms(requests);
  if (const auto started = vms.Start(); !started) return started;
  Figure wrong;
  wrong.name = "seven_vms_wrong";
  wrong.title = fmt::format("seven VMs at once, {} requests each: wrong answers", requests);
  wrong.gate = {0, Better::kLower, {}};
  Figure spread;
  spread.name = "seven_vms_spread";
  spread.title = "the same: spread of throughput per CPU inside a class, %";
  spread.gate = {10, Better::kLower, {}};
  const auto outcome = vms.Run();
  if (!outcome) return tl::make_unexpected(outcome.error());
  wrong.values = outcome->wrong;
  if (wrong.spread().max > 0) wrong.broken = "there were wrong answers";
  for (const double value : outcome->spreads) spread.values.push_back(value * 100);
  const auto all = static_cast<double>(requests * kSevenVms);
  spread.note = fmt::format(
      "(max - min) / mean, worst class, in windows of 1 s while all seven work: {:.0f} % of the requests",
      100.0 * static_cast<double>(outcome->answered) / all);
  results->figures.push_back(wrong);
  results->figures.push_back(spread);
  return {};
}

}  // namespace vgpu::bench
