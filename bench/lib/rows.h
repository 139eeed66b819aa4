// SPDX-License-Identifier: Apache-2.0
// Ways to get an answer, measured in the same rounds: a table of latencies.
#ifndef VGPU_BENCH_LIB_ROWS_H_
#define VGPU_BENCH_LIB_ROWS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "bench/lib/contest.h"
#include "bench/lib/figure.h"

namespace vgpu::bench {

struct Row {
  std::string name;
  base::Histogram latency_ns;          // of all rounds
  std::vector<double> p50_ns, p99_ns;  // by round
  uint64_t wrong = 0;
  std::string setting;  // of which the result says nothing otherwise: how a folder was really mounted
  // By round: requests a second of all guests together, their programs' start included.
  std::vector<double> per_s = {};
};

struct RowGroup {
  std::string title;
  std::vector<Row> rows;  // the first is ours: the others are compared with it
  uint64_t elements = 0;  // of each vector; 0: two numbers
  bool rates = false;     // how much all guests got done together is of interest, too
};

Row RowOf(const Series& series);
// A round: the JSON that each guest's program printed, and how long it took until all had.
void AddRound(const std::vector<nlohmann::json>& printed, double seconds, Row* row);

// 0.97, 18.1, 1,413,000.
std::string FactorText(double factor);
// 380 ns, 12.3 us, 5.1 ms, 0.55 s.
std::string TimeText(double ns);
// "name 0.38 us (p99 1.2 us; 600,000 requests)": for a figure's note.
std::string Describe(const Row& row);
std::string Table(const RowGroup& group);
nlohmann::json ToJson(const RowGroup& group);
// Writes figures and groups with the machine; false (and a message) if the file cannot be written.
bool WriteJson(const std::string& path, const std::vector<Figure>& figures,
               const std::vector<RowGroup>& groups);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_ROWS_H_
