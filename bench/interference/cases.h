// SPDX-License-Identifier: Apache-2.0
// The attacks of the matrix, and what is asked of each.
#ifndef VGPU_BENCH_INTERFERENCE_CASES_H_
#define VGPU_BENCH_INTERFERENCE_CASES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vgpu::bench::interference {

enum class Kind : unsigned char {
  kControl,  // nobody attacks: what the machine does by itself
  kOwner,    // control socket and descriptors: p99 / alone, and nobody late
  kGuest,    // rings and doorbells: p99 / p99 beside one VM that floods with NOPs
  kMemory,   // vanishing memory: nobody late, or few stalls
};
const char* KindName(Kind kind);

enum class Need : unsigned char { kNothing, kFuse, kHugePages };

// What a case has beyond its kind's gates.
enum class Extra : unsigned char {
  kNone,
  kRingCpu,    // what it costs the ring thread is gated
  kPausedLog,  // nobody reads the mediator's log meanwhile
  kKilled,     // the aggressor is killed, and what the mediator holds a second later is gated
  kOneStall,   // of memory: a stall for each attacking VM, instead of nobody late
};

struct Case {
  const char* name;   // for --only and JSON
  const char* title;  // for people
  Kind kind;
  std::vector<const char*> commands;  // arguments of attack; several at once
  uint32_t priority = 1;              // of a guest's VM: 0 low, 1 medium, 2 high
  uint64_t memory_mib = 0;            // that the aggressors take
  Need need = Need::kNothing;
  Extra extra = Extra::kNone;
};

std::span<const Case> Cases();

// Why this machine cannot run it now, and what would help.
std::optional<std::string> CannotRun(const Case& attack);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_CASES_H_
