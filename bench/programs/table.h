// SPDX-License-Identifier: Apache-2.0
// The measurements of //bench:ring, //bench:latency and //bench:gates, in one table. Each program makes some
// of its rows.
#ifndef VGPU_BENCH_PROGRAMS_TABLE_H_
#define VGPU_BENCH_PROGRAMS_TABLE_H_

#include <string>
#include <vector>

#include "bench/lib/process.h"
#include "bench/lib/results.h"

namespace vgpu::bench {

enum class Group : unsigned char {
  kRing,      // the ring itself, between two processes: //bench:ring
  kMediator,  // what the mediator costs and does
  kVms,       // in VMs
  kLatency,   // beside the transports that this one replaces: //bench:latency
  kGpu,       // made by //bench:gpu, which has a table of its own
};

enum class Need : unsigned char { kNothing, kVm };

struct Measurement {
  std::string name;  // for --only
  Group group;
  Need need;
  Result<void> (*measure)(const Effort&, Results*);
  std::string gates_name;          // for --only of //bench:gates; empty: it has no gate
  std::vector<std::string> gates;  // the figures that have one
};

// In the order in which they are made.
const std::vector<Measurement>& AllMeasurements();
// Those of one group.
std::vector<Measurement> MeasurementsOf(Group group);
// Those with gates, by the names that //bench:gates has for them.
std::vector<Measurement> MeasurementsWithGates();

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_PROGRAMS_TABLE_H_
