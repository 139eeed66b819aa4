// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/status.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "api/device_info.h"
#include "base/json_text.h"
#include "base/version.h"
#include "mediator/process/log.h"

namespace vgpu::mediator {
namespace {

using nlohmann::json;

json Latency(const base::PublishedHistogram& published) {
  base::Histogram histogram;
  histogram.Merge(published);
  return {{"count", histogram.count()},
          {"p50", histogram.Percentile(50)},
          {"p99", histogram.Percentile(99)},
          {"p99_9", histogram.Percentile(99.9)},
          {"max", histogram.max()}};
}

const char* PhaseName(serve::RingState state) {
  switch (state) {
    case serve::RingState::kClosed:
    case serve::RingState::kClearing: return "closed";
    case serve::RingState::kOpen: return "open";
    case serve::RingState::kFencing:
    case serve::RingState::kFenced: return "fenced";
  }
  return "unknown";
}

json RingStatus(const GuestRing& ring) {
  const serve::RingCounters& counters = ring.counters();
  return {{"ring", ring.window() ? json("window") : json(ring.index())},
          {"phase", PhaseName(ring.state())},
          {"epoch", ring.epoch_shown()},
          {"polled", ring.polled.Get()},
          {"waiting", ring.waiting_shown()},
          {"taken", counters.taken.Get()},
          {"answered", counters.answered.Get()},
          {"refused", counters.refused.Get()},
          {"kicks", counters.kicks.Get()},
          {"calls", counters.calls.Get()},
          {"arms_won", counters.arms_won.Get()},
          {"arms_lost", counters.arms_lost.Get()}};
}

std::string RunsOn(const Placement& placement) {
  const PlacementState state = placement.state();
  if (state != PlacementState::kServed && state != PlacementState::kParked) return "cpu";
  return (state == PlacementState::kParked ? "parked gpu " : "gpu ") + std::to_string(placement.ordinal());
}

const char* StateName(const VmView& vm) {
  if (vm.quarantined) return "quarantined";
  return vm.session->fenced() ? "fenced" : "attached";
}

json VmStatus(const VmView& vm) {
  static constexpr const char* kPriorityNames[] = {"low", "medium", "high"};
  const Session& session = *vm.session;
  json rings = json::array();
  uint64_t answered = 0;
  for (const auto& ring : session.rings()) {
    answered += ring->counters().answered;
    rings.push_back(RingStatus(*ring));
  }
  return {{"vm_id", session.vm_id()},
          {"pool", std::string(1, static_cast<char>(session.pool()))},
          {"priority", kPriorityNames[session.priority()]},
          {"state", StateName(vm)},
          {"apart", vm.isolated},
          {"why_apart", vm.why_isolated},
          {"stalls", vm.stalls},
          {"owner_uid", vm.owner.uid},
          {"owner_pid", vm.owner.pid},
          {"region_bytes", session.memory().layout.region_bytes},
          {"runs_on", RunsOn(session.placement())},
          {"gpu_pieces", session.gpu_pieces.Get()},
          {"answered", answered},
          {"fences", session.fences.Get()},
          {"resets", session.resets.Get()},
          {"queue_wait_ns", Latency(session.queue_wait)},
          {"service_ns", Latency(session.service)},
          {"rings", rings}};
}

}  // namespace

std::string StatusJson(const StatusView& view) {
  json vms = json::array();
  for (const VmView& vm : view.vms) vms.push_back(VmStatus(vm));
  const json status = {{"version", base::kVersion},
                       {"pid", getpid()},
                       {"backend", view.device.backend == VGPU_BACKEND_CUDA ? "cuda" : "cpu"},
                       {"device", view.device.name},
                       {"driver", view.device.driver},
                       {"uptime_s", static_cast<double>(view.uptime_ns) / 1e9},
                       {"log_lines_dropped", LogLinesDropped()},
                       {"loop",
                        {{"sleeps", view.lane.sleeps.Get()},
                         {"requests", view.lane.requests.Get()},
                         {"gaps", view.lane.long_iterations.Get()}}},
                       {"vms", vms}};
  return base::JsonText(status);
}

}  // namespace vgpu::mediator
