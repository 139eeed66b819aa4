// SPDX-License-Identifier: Apache-2.0
// What all who act in a simulation share: chance, time, and the record of what happened.
#ifndef VGPU_SIMULATION_SURROUNDINGS_H_
#define VGPU_SIMULATION_SURROUNDINGS_H_

#include <cstdint>
#include <cstdio>
#include <string>

#include "mediator/loop/clock.h"
#include "simulation/random.h"

namespace vgpu::simulation {

inline constexpr int64_t kNever = INT64_MAX;

// A promise of the daemon was broken: thrown by whoever notices.
struct Violation {
  std::string what;
};
// The daemon dies here: thrown through it.
struct Death {};
// Nothing is left to do: thrown through the daemon, too.
struct Finished {};

// What happened, as one number: two runs with the same number were the same.
class EventLog {
 public:
  explicit EventLog(bool print) : print_(print) {}

  // `what` is a literal.
  void Add(const char* what, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0) {
    for (const char* sign = what; *sign != 0; ++sign) Mix(static_cast<unsigned char>(*sign));
    for (const uint64_t word : {a, b, c, d}) Mix(word);
    if (!print_) return;
    std::fprintf(stderr, "%-16s %llu %llu %llu %llu\n", what, static_cast<unsigned long long>(a),
                 static_cast<unsigned long long>(b), static_cast<unsigned long long>(c),
                 static_cast<unsigned long long>(d));
  }
  uint64_t hash() const { return hash_; }

 private:
  void Mix(uint64_t word) {
    hash_ = (hash_ ^ word) * 0x100000001b3ull;
    hash_ ^= hash_ >> 29;
  }

  const bool print_;
  uint64_t hash_ = 0xcbf29ce484222325ull;
};

struct Surroundings {
  Surroundings(uint64_t seed, bool print) : random(seed), log(print) {}

  int64_t now_ns() const { return hands.now_ns; }

  Random random;
  EventLog log;
  mediator::ClockHands hands;
  uint64_t steps = 0;
  uint64_t interruptions = 0;  // deaths of the daemon and of engines so far
  uint64_t answers = 0;        // that guests have taken and checked
  bool draining = false;       // nobody begins anything any more
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SURROUNDINGS_H_
