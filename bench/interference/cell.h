// SPDX-License-Identifier: Apache-2.0
// One attack of the matrix, measured: victims alone, (beside the yardstick,) beside the attack, in turns.
#ifndef VGPU_BENCH_INTERFERENCE_CELL_H_
#define VGPU_BENCH_INTERFERENCE_CELL_H_

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/interference/cases.h"
#include "bench/interference/samples.h"
#include "bench/interference/stage.h"

namespace vgpu::bench::interference {

struct Settings {
  std::string mediator;  // path of the binary
  std::string config;    // its configuration file, or empty
  uint32_t intervals = 20;
  double seconds = 2;  // of an interval
  uint64_t seed = 1;
  bool pinned = true;
};

// What one victim noticed.
struct Noticed {
  std::string name;
  Summary baseline, nops, beside;  // nops: of attacks by guests
  uint64_t lost = 0;               // requests without any answer
};

// The victims of every cell, in the order of the table.
inline constexpr const char* kVictims[] = {"high", "medium", "vector"};

// Of which build it is, where and when it was measured: a result may be of several runs.
struct Origin {
  std::string commit;       // empty: nobody said
  std::string mediator_id;  // of the binary
  nlohmann::json machine;   // processor, kernel, time
};

struct Cell {
  const Case* attack = nullptr;
  std::string skipped;  // why it was not measured
  std::string broken;   // what went wrong
  std::vector<Noticed> victims;
  std::vector<double> ring_cpu_baseline, ring_cpu_beside;  // per cent of a processor, by interval
  std::vector<Held> held;                                  // after each attack, beyond what there was before
  uint64_t log_bytes = 0;
  uint64_t ended_early = 0;  // aggressors that were gone at the end of their interval
  uint64_t strays = 0;
  nlohmann::json threads;
  std::vector<std::string> says;  // the aggressors, at the end
  Origin origin;

  // Null: there is none of this name.
  const Noticed* victim(const std::string& name) const;
  // Wrong answers, and none at all, beside the attack.
  uint64_t errors() const;
};

// Never throws: what goes wrong becomes Cell::broken.
Cell Measure(const Case& attack, const Settings& settings);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_CELL_H_
