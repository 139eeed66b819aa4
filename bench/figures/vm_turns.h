// SPDX-License-Identifier: Apache-2.0
// Rounds (bench/lib/rounds.h) in booted VMs: a turn is a way's, in all VMs at once.
#ifndef VGPU_BENCH_FIGURES_VM_TURNS_H_
#define VGPU_BENCH_FIGURES_VM_TURNS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/figure.h"
#include "bench/lib/process.h"
#include "bench/lib/rows.h"
#include "bench/vm/vm_shell.h"

namespace vgpu::bench {

struct Turn {
  std::string name;
  // What VM `vm` (from 1) is told in round `round` (from 0).
  std::function<std::string(uint32_t vm, uint64_t round)> command;
};

// What a run came to: a row for each turn, and how fast the machine itself was in each round.
struct Measured {
  std::vector<Row> rows;
  std::vector<double> raw_ns;
};

// `rounds` that count, after one that warms up. The raw ping-pong is taken while the
// guests have nothing to do.
Result<Measured> TakeTurns(const std::vector<std::unique_ptr<VmShell>>& vms, const std::vector<Turn>& turns,
                           uint64_t rounds);

struct FigureKind {
  std::string name;
  std::string title;
  Gate gate;
};
// theirs / ours, by round; `values` are of that which is compared.
Figure RatioOf(const FigureKind& what, const Row& theirs, const Row& ours, std::vector<double> Row::*values,
               const Measured& measured);
// The row whose `values` are lowest in the median.
const Row& Fastest(const std::vector<Row>& rows, std::vector<double> Row::*values);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_FIGURES_VM_TURNS_H_
