// SPDX-License-Identifier: Apache-2.0
// What a program on the host gets from the GPU by itself: the baselines of every figure about the GPU. One
// integer add a request, every answer checked.
#ifndef VGPU_BENCH_SUBJECTS_NATIVE_NATIVE_H_
#define VGPU_BENCH_SUBJECTS_NATIVE_NATIVE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/subjects/native/lab.h"

namespace vgpu::bench {

// ---- one request at a time ----

// A kernel launch and a wait for the stream; operands and sum in registered host memory.
std::unique_ptr<Contestant> MakeNativeLaunch(Lab* lab);
// The same for who times its requests: launches request `i` and waits; is the sum right?
std::function<bool(uint64_t)> MakeNativeAsk(Lab* lab);
// The same as a graph of one node.
std::unique_ptr<Contestant> MakeNativeGraph(Lab* lab);
// Copies of pinned memory in and out around the kernel.
std::unique_ptr<Contestant> MakeNativeCopies(Lab* lab);
// A launch and a wait that add vectors of 4 KiB in registered host memory.
std::unique_ptr<Contestant> MakeNativeVector(Lab* lab);

// ---- through a resident kernel, without anything of ours around it ----

// `depth` requests are kept outstanding, at most VGPU_RESIDENT_ENTRIES. With depth 1 this is the bare ping.
// The kernel is started for each round and stopped after it.
std::unique_ptr<Contestant> MakeBareResident(Lab* lab, uint32_t depth);

// ---- many at a time ----

// Launches one after the other on one stream, and one wait at the end of the round. Checks the last sum only.
std::unique_ptr<Contestant> MakeNativeAsyncLaunches(Lab* lab);

// ---- bytes ----

// Pinned copies of `bytes`, `outstanding` of them at a time, each with memory and streams of its own. Rates
// in GB/s.
class Copies {
 public:
  Copies(Lab* lab, uint64_t bytes, uint32_t outstanding);
  ~Copies();
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;

  double In();
  double Out();
  // Two in beside one out, as VECTOR_ADD moves them.
  double TwoInOneOut();

 private:
  struct Place;
  double Rate(uint64_t in, uint64_t out);
  void Wait(const Place& place);

  Lab* const lab_;
  const uint64_t bytes_;
  std::vector<Place> places_;
};

// While it lives, a thread keeps every processor of the GPU busy with blocks of 50 us,
// at the lowest priority.
class Flood {
 public:
  // `launches`, if any, counts those that the GPU has ended.
  explicit Flood(Lab* lab, std::atomic<uint64_t>* launches = nullptr);
  ~Flood();
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_NATIVE_NATIVE_H_
