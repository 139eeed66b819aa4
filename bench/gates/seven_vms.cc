// SPDX-License-Identifier: Apache-2.0
// Seven VMs at once, of two pools and three classes. All of QEMU shares one core, the mediator has the other, so that
// what differs between VMs is how the mediator serves them.
//
// They begin at the same moment: the mediator is stopped (SIGSTOP) while each VM starts its program, which then waits for
// its ring to be opened, and goes on when all seven do. Throughput is what the mediator counts for each VM in an
// interval in which all seven are at work.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <thread>

#include "bench/gates/gates.h"
#include "bench/mediator_process.h"
#include "bench/vm_process.h"

namespace vgpu::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint32_t kVms = 7;
constexpr uint32_t kRounds = 5;
constexpr std::chrono::seconds kPatience{300};
constexpr milliseconds kProgramStart{2'500};  // from "ready" until even the slowest VM waits for its ring
constexpr milliseconds kSample{20};

struct Kind {
  const char* pool;
  const char* priority;
};
constexpr std::array<Kind, kVms> kKinds = {{{"A", "high"},
                                            {"B", "high"},
                                            {"A", "medium"},
                                            {"B", "medium"},
                                            {"A", "medium"},
                                            {"B", "low"},
                                            {"A", "low"}}};

using Answered = std::array<uint64_t, kVms>;  // by VM

Result<Answered> AnsweredOf(const MediatorProcess& mediator) {
  const auto status = mediator.Status();
  if (!status) return tl::make_unexpected(status.error());
  Answered answered{};
  for (const auto& vm : (*status)["vms"]) answered.at(vm["vm_id"].get<uint32_t>() - 1) = vm["answered"].get<uint64_t>();
  return answered;
}

// The largest, over the classes, of (max - min) / mean of the VMs of one class.
double SpreadInClasses(const Answered& work) {
  std::map<std::string, std::vector<double>> classes;
  for (uint32_t i = 0; i < kVms; ++i) classes[kKinds[i].priority].push_back(static_cast<double>(work[i]));
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
    const std::string script =
        fmt::format("for i in $(seq {}); do echo ready; vgpu-client --timeout 300 ping --count {} --json || exit; "
                    "sleep 1; done",
                    kRounds, requests_);
    for (uint32_t i = 0; i < kVms; ++i) {
      VmOptions options;
      options.socket = mediator_->socket();
      options.vm_id = i + 1;
      options.pool = kKinds[i].pool;
      options.priority = kKinds[i].priority;
      auto vm = VmProcess::Boot(options, script);
      if (!vm) return tl::make_unexpected(vm.error());
      vms_.push_back(std::move(*vm));
    }
    return AwaitAttached();
  }

  struct Round {
    double spread = 0;
    uint64_t wrong = 0;
    uint64_t answered = 0;  // in the interval that the spread is about
  };
  // All VMs do their requests at the same time.
  Result<Round> Run() {
    const auto before = AnsweredOf(*mediator_);
    if (!before) return tl::make_unexpected(before.error());
    mediator_->Signal(SIGSTOP);
    const auto ready = AwaitReady();
    mediator_->Signal(SIGCONT);
    if (!ready) return tl::make_unexpected(ready.error());
    const auto samples = Sample(*before);
    if (!samples) return tl::make_unexpected(samples.error());
    Round round;
    for (auto& vm : vms_) {
      const auto json = vm->Json(kPatience);
      if (!json) return tl::make_unexpected(json.error());
      round.wrong += (*json)["wrong"].get<uint64_t>();
    }
    Answered work{};
    for (uint32_t i = 0; i < kVms; ++i) {
      work[i] = samples->second[i] - samples->first[i];
      round.answered += work[i];
    }
    round.spread = SpreadInClasses(work);
    return round;
  }

 private:
  Result<void> AwaitAttached() {
    const auto deadline = steady_clock::now() + kPatience;
    for (;;) {
      const auto status = mediator_->Status();
      if (!status) return tl::make_unexpected(status.error());
      if ((*status)["vms"].size() == kVms) return {};
      if (steady_clock::now() > deadline) return tl::make_unexpected("not all VMs attached in time");
      std::this_thread::sleep_for(kSample);
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

  // The counts at the first and the last moment of those seen at which all VMs were at work.
  Result<std::pair<Answered, Answered>> Sample(const Answered& before) {
    const auto deadline = steady_clock::now() + kPatience;
    std::vector<Answered> busy;
    for (;;) {
      const auto now = AnsweredOf(*mediator_);
      if (!now) return tl::make_unexpected(now.error());
      uint64_t least = UINT64_MAX;
      uint64_t most = 0;
      for (uint32_t i = 0; i < kVms; ++i) {
        least = std::min(least, (*now)[i] - before[i]);
        most = std::max(most, (*now)[i] - before[i]);
      }
      if (least > 0 && most < requests_) busy.push_back(*now);
      if (least >= requests_) break;
      if (steady_clock::now() > deadline) return tl::make_unexpected("not all VMs were served in time");
      std::this_thread::sleep_for(kSample);
    }
    if (busy.size() < 2) return tl::make_unexpected("the seven VMs were never seen at work together");
    return std::pair(busy.front(), busy.back());
  }

  const uint64_t requests_;
  std::unique_ptr<MediatorProcess> mediator_;
  std::vector<std::unique_ptr<VmProcess>> vms_;
};

}  // namespace

Result<void> MeasureSevenVms(const Effort& effort, Figures* figures) {
  // A round of 100,000 would be over in less time than the kernel needs to share a core fairly among seven.
  const uint64_t requests = effort.quick ? 100'000 : 1'000'000;
  SevenVms vms(requests);
  if (const auto started = vms.Start(); !started) return started;
  Figure wrong;
  wrong.name = "seven_vms_wrong";
  wrong.title = fmt::format("seven VMs at once, {} requests each: wrong answers", requests);
  wrong.gate = {0, Better::kLower, {}};
  Figure spread;
  spread.name = "seven_vms_spread";
  spread.title = "the same: spread of throughput inside a class, %";
  spread.gate = {10, Better::kLower, {}};
  uint64_t answered = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const auto result = vms.Run();
    if (!result) return tl::make_unexpected(result.error());
    wrong.values.push_back(static_cast<double>(result->wrong));
    spread.values.push_back(result->spread * 100);
    answered += result->answered;
  }
  if (wrong.spread().max > 0) wrong.broken = "there were wrong answers";
  spread.note = fmt::format("(max - min) / mean, worst class, while all seven work: {:.0f} % of the requests",
                            100.0 * static_cast<double>(answered) / static_cast<double>(requests * kVms * kRounds));
  figures->push_back(wrong);
  figures->push_back(spread);
  return {};
}

}  // namespace vgpu::bench
