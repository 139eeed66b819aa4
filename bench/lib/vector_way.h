// SPDX-License-Identifier: Apache-2.0
// Ways by which a program in a guest has vectors added, timed one request at a time. Every element of every
// request is new, and every sum of every answer is compared: what was left of an
// earlier request counts as wrong.
#ifndef VGPU_BENCH_LIB_VECTOR_WAY_H_
#define VGPU_BENCH_LIB_VECTOR_WAY_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/histogram.h"

namespace vgpu::bench {

// c = a + b, i32 as 32-bit words.
struct VectorMemory {
  uint32_t* a;
  uint32_t* b;
  uint32_t* c;
  uint64_t count;
};

class VectorWay {
 public:
  virtual ~VectorWay() = default;
  // Where operands lie before a request and sums after it: in memory that nobody else sees, unless the way
  // has a place that the other side sees. Valid while this lives.
  virtual VectorMemory Memory(uint64_t count);
  // Returns when the sums are there. Throws if there is no answer, or a refusal.
  virtual void Add(const VectorMemory& memory) = 0;
  // Before and after that, not timed.
  virtual void Before() {}
  virtual void After() {}

 private:
  std::vector<uint32_t> memory_;
};

struct VectorRun {
  uint64_t elements = 0;  // of a vector; 0: two numbers, which some ways carry otherwise than a vector of one
  uint64_t count = 1;     // requests
  uint64_t warm_up = 0;   // requests before those
  double seconds_max = 0;  // stops after so long; 0: no matter how long
  uint64_t seed = 1;
};

struct RunResult {
  base::Histogram latency_ns;  // of Add
  uint64_t wrong = 0;          // answers
  double seconds = 0;
};

RunResult RunVectors(VectorWay& way, const VectorRun& run);

// The run as a program's arguments (guest_program.h).
std::string OptionsOf(const VectorRun& run);

nlohmann::json ToJson(const RunResult& result);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_VECTOR_WAY_H_
