// SPDX-License-Identifier: Apache-2.0
// What every measurement of //bench:gpu starts from, and where its results go.
#ifndef VGPU_BENCH_FIGURES_GPU_SETUP_H_
#define VGPU_BENCH_FIGURES_GPU_SETUP_H_

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/lib/figure.h"
#include "bench/subjects/native/lab.h"
#include "bench/subjects/ours/guests.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"

namespace vgpu::bench {

struct Setup {
  std::string backend = "cuda";  // of the mediator; "cpu": a rehearsal, without a GPU to compare with
  bool quick = false;
  std::unique_ptr<Lab> lab;  // for native contestants; null in a rehearsal
  std::vector<Figure> figures;
  nlohmann::json json;

  bool cuda() const { return backend == "cuda"; }
  uint32_t rounds(uint32_t full) const { return quick ? 5 : full; }
  // Shorter when quick.
  std::chrono::milliseconds Span(uint32_t full_ms) const {
    return std::chrono::milliseconds(quick ? full_ms / 4 : full_ms);
  }
  // Between two turns: a resident kernel that has nothing to do leaves the GPU.
  std::chrono::milliseconds pause() const { return std::chrono::milliseconds(cuda() ? 100 : 5); }

  // The mediator with this backend. `gpu_keys`, lines of its table [gpu], are left out in a rehearsal.
  Result<std::unique_ptr<MediatorProcess>> Mediator(const std::string& gpu_keys = "") const;
};

// A figure whose rounds are ours to theirs; without theirs it is skipped, and its note says what ours is.
Figure Compare(const std::string& name, const std::string& title, const Gate& gate,
               const std::vector<double>& ours, const std::vector<double>& theirs, const std::string& note);
void NoteWrong(uint64_t wrong, Figure* figure);

// One line a contestant; the ratio is to the first, round by round. Returns it as JSON.
nlohmann::json PrintContest(const std::string& title, const std::vector<Series>& all);
// Null if it did not take part.
const Series* Find(const std::vector<Series>& all, const std::string& name);

// "p50 3.51 us, p99 4.02, p99.9 9.80 (80000 timed)"
std::string LatencyText(const base::Histogram& latency_ns);
double Median(const std::vector<double>& values);  // 0 of none
// For processor times, which the kernel counts in steps of milliseconds: 0 of none.
double Mean(const std::vector<double>& values);

// So many guests that ask for ADDs, with VM ids from `first_vm` on.
std::vector<GuestPlan> AddGuests(uint32_t count, uint32_t first_vm, uint32_t depth,
                                 uint64_t region_bytes = 1 << 20);

// What guests did in an interval, and what it cost.
struct Interval {
  double per_second = 0;          // requests
  double cpu_us_per_request = 0;  // of the mediator and its children
};
// The first `count` guests work for `span`, after a start of their own, and rest.
Result<Interval> WorkFor(Guests& guests, size_t count, const MediatorProcess& mediator,
                         std::chrono::milliseconds span);

// The same while somebody else decides when it ends.
class Meter {
 public:
  Meter(const Guests& guests, const MediatorProcess& mediator);
  Interval Read() const;

 private:
  const Guests& guests_;
  const pid_t mediator_;
  const uint64_t answered_;
  const uint64_t cpu_ns_;
  const uint64_t begin_ns_;
};

// ---- the measurements, each of figures of its own ----

Result<void> MeasureIdlePower(Setup* setup);  // closes the lab
Result<void> MeasureRtt(Setup* setup);
Result<void> MeasureNativeFlood(Setup* setup);  // natively only: adds beside a GPU that is full
Result<void> MeasureBesideFlood(Setup* setup);
Result<void> MeasureRates(Setup* setup);
Result<void> MeasureCopyRates(Setup* setup);
Result<void> MeasureCrossing(Setup* setup);
Result<void> MeasureOthers(Setup* setup);  // beside a process that is not ours
Result<void> MeasureHung(Setup* setup);
Result<void> MeasureVmRtt(Setup* setup);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_FIGURES_GPU_SETUP_H_
