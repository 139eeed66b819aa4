// SPDX-License-Identifier: Apache-2.0
// What a program on the host gets from the GPU by itself: the baselines of every figure about the GPU. One integer add a
// request, every answer checked.
#ifndef VGPU_BENCH_GPU_NATIVE_H_
#define VGPU_BENCH_GPU_NATIVE_H_

#include <memory>
#include <nlohmann/json.hpp>

#include "bench/contest.h"
#include "bench/gpu/lab.h"

namespace vgpu::bench {

// ---- one request at a time ----

// A kernel launch and a wait for the stream; operands and sum in registered host memory.
std::unique_ptr<Contestant> MakeNativeLaunch(Lab* lab);
// The same as a graph of one node.
std::unique_ptr<Contestant> MakeNativeGraph(Lab* lab);
// Copies of pinned memory in and out around the kernel.
std::unique_ptr<Contestant> MakeNativeCopies(Lab* lab);

// ---- through a resident kernel, without anything of ours around it ----

// `depth` requests are kept outstanding, at most VGPU_RESIDENT_ENTRIES. With depth 1 this is the bare ping. The kernel is
// started for each round and stopped after it.
std::unique_ptr<Contestant> MakeBareResident(Lab* lab, uint32_t depth);

// ---- many at a time ----

// Launches one after the other on one stream, and one wait at the end of the round. Checks the last sum only.
std::unique_ptr<Contestant> MakeNativeAsyncLaunches(Lab* lab);

// ---- bytes ----

// Pinned copies of `bytes`, by round in GB/s: in, out, and two in beside one out (as VECTOR_ADD moves them).
struct CopyRates {
  std::vector<double> in;
  std::vector<double> out;
  std::vector<double> two_in_one_out;
};
CopyRates MeasureCopies(Lab* lab, uint64_t bytes, uint32_t rounds);

// While it lives, a thread keeps every processor of the GPU busy with blocks of 50 us, at the lowest priority.
class Flood {
 public:
  explicit Flood(Lab* lab);
  ~Flood();
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_GPU_NATIVE_H_
