// SPDX-License-Identifier: Apache-2.0
#include "bench/programs/table.h"

#include <algorithm>
#include <iterator>

#include "bench/figures/figures.h"

namespace vgpu::bench {

const std::vector<Measurement>& AllMeasurements() {
  using enum Group;
  using enum Need;
  static const std::vector<Measurement> kAll = {
      {"depth-1", kRing, kNothing, MeasureDepth1, "depth-1", {"rtt_rival", "rtt_raw"}},
      {"depth-64", kRing, kNothing, MeasureDepth64, "depth-64", {"rate_rival"}},
      {"depths", kRing, kNothing, MeasureDepths, "depths", {"best_8", "best_64", "best_1024"}},
      {"payloads", kRing, kNothing, MeasurePayloads, "", {}},
      {"doorbell", kRing, kNothing, MeasureDoorbell, "doorbell", {"doorbell_wake"}},
      {"arena", kRing, kNothing, MeasureArena, "arena", {"arena_4096"}},
      {"vm-ring", kVms, kVm, MeasureVmRing, "vm-ring", {"vm_ring"}},
      {"vm-window", kVms, kVm, MeasureVmWindow, "vm-window", {"vm_window"}},
      {"saturated", kMediator, kNothing, MeasureSaturated, "saturated", {"doorbells"}},
      {"cpu-1000", kMediator, kNothing, MeasureCpuAt1000, "cpu-1000", {"cpu_1000"}},
      {"idle", kMediator, kNothing, MeasureIdle, "idle", {"idle_wakes", "idle_cpu"}},
      {"steady-state", kMediator, kNothing, MeasureSteadyState, "steady-state", {"allocations", "log_lines"}},
      {"seven-vms", kVms, kVm, MeasureSevenVmsSpread, "seven-vms", {"seven_vms_wrong", "seven_vms_spread"}},
      {"vm", kLatency, kVm, MeasureInVm, "nfs", {"nfs_tuned_p50", "nfs_tuned_p99", "nfs_was_p50"}},
      {"vectors", kLatency, kVm, MeasureVectors, "", {}},
      {"seven", kLatency, kVm, MeasureSevenVmsLatency, "", {}},
      {"host", kLatency, kNothing, MeasureSockets, "socket", {"socket_spinning", "socket_asleep"}},
      {"think", kLatency, kNothing, MeasureThinking, "think", {"think_5_20"}},
      {"open", kLatency, kNothing, MeasureOpenLoop, "", {}},
      {"gpu",
       kGpu,
       kNothing,
       MeasureGpu,
       "gpu",
       {"idle_gpu", "idle_power", "rtt_launch", "rtt_p99", "rtt_bare", "rtt_vector", "beside_flood", "rate_1",
        "rate_32", "copy_64m", "copy_1m", "hung"}},
  };
  return kAll;
}

std::vector<Measurement> MeasurementsOf(Group group) {
  std::vector<Measurement> chosen;
  std::copy_if(AllMeasurements().begin(), AllMeasurements().end(), std::back_inserter(chosen),
               [&](const Measurement& measurement) { return measurement.group == group; });
  return chosen;
}

std::vector<Measurement> MeasurementsWithGates() {
  std::vector<Measurement> chosen;
  for (Measurement measurement : AllMeasurements()) {
    if (measurement.gates.empty()) continue;
    measurement.name = measurement.gates_name;
    chosen.push_back(measurement);
  }
  return chosen;
}

}  // namespace vgpu::bench
