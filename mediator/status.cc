// SPDX-License-Identifier: Apache-2.0
#include "mediator/status.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "mediator/version.h"

namespace vgpu::mediator {
namespace {

using nlohmann::json;

json Latency(const base::Histogram& histogram) {
  return {{"count", histogram.count()},         {"p50", histogram.Percentile(50)},
          {"p99", histogram.Percentile(99)},    {"p99_9", histogram.Percentile(99.9)},
          {"max", histogram.max()}};
}

const char* PhaseName(RingPhase phase) {
  switch (phase) {
    case RingPhase::kClosed: return "closed";
    case RingPhase::kOpen: return "open";
    case RingPhase::kFenced: return "fenced";
  }
  return "unknown";
}

json RingStatus(const GuestRing& ring) {
  const RingCounters& counters = ring.counters();
  return {{"ring", ring.window() ? json("window") : json(ring.index())},
          {"phase", PhaseName(ring.phase())},
          {"epoch", ring.epoch()},
          {"polled", ring.hot},
          {"waiting", ring.waiting()},
          {"taken", counters.taken},
          {"answered", counters.answered},
          {"refused", counters.refused},
          {"kicks", counters.kicks},
          {"calls", counters.calls},
          {"arms_won", counters.arms_won},
          {"arms_lost", counters.arms_lost}};
}

std::string RunsOn(const DeviceSeat& seat) {
  if (!seat.on_device && !seat.parked) return "cpu";
  return (seat.parked ? "parked gpu " : "gpu ") + std::to_string(seat.ordinal);
}

json VmStatus(const Session& session) {
  static constexpr const char* kPriorityNames[] = {"low", "medium", "high"};
  json rings = json::array();
  uint64_t answered = 0;
  for (const auto& ring : session.rings()) {
    answered += ring->counters().answered;
    rings.push_back(RingStatus(*ring));
  }
  return {{"vm_id", session.vm_id()},
          {"pool", std::string(1, static_cast<char>(session.pool()))},
          {"priority", kPriorityNames[session.priority()]},
          {"state", session.fenced() ? "fenced" : "attached"},
          {"region_bytes", session.memory().layout.region_bytes},
          {"runs_on", RunsOn(session.seat)},
          {"gpu_pieces", session.gpu_pieces},
          {"answered", answered},
          {"fences", session.fences},
          {"resets", session.resets},
          {"queue_wait_ns", Latency(session.queue_wait)},
          {"service_ns", Latency(session.service)},
          {"rings", rings}};
}

}  // namespace

std::string StatusJson(const Dispatcher& dispatcher, const vgpu_device_info& device) {
  json vms = json::array();
  for (const Session* session : dispatcher.sessions()) vms.push_back(VmStatus(*session));
  const LoopCounters& counters = dispatcher.counters();
  const json status = {{"version", kVersion},
                       {"pid", getpid()},
                       {"backend", device.backend == VGPU_BACKEND_CUDA ? "cuda" : "cpu"},
                       {"device", device.name},
                       {"driver", device.driver},
                       {"uptime_s", static_cast<double>(dispatcher.Now() - dispatcher.started_ns()) / 1e9},
                       {"loop", {{"sleeps", counters.sleeps}, {"requests", counters.requests}}},
                       {"vms", vms}};
  return base::JsonText(status);
}

}  // namespace vgpu::mediator
