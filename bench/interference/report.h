// SPDX-License-Identifier: Apache-2.0
// What comes out: a table of what victims noticed, and gates.
#ifndef VGPU_BENCH_INTERFERENCE_REPORT_H_
#define VGPU_BENCH_INTERFERENCE_REPORT_H_

#include <string>
#include <vector>

#include "bench/interference/cell.h"
#include "bench/lib/figure.h"

namespace vgpu::bench::interference {

inline constexpr double kOwnerP99Max = 2;    // to alone
inline constexpr double kGuestP99Max = 1.5;  // to beside the yardstick
inline constexpr double kRingCpuMax = 1;     // per cent of a processor
inline constexpr double kStallsMax = 1;      // of each attacking VM

// A line for each victim and attack: alone, and the others as ratios to it.
std::string CellTable(const std::vector<Cell>& cells);
// Where the mediators' threads ran, and what was found.
std::string PinningText(const std::vector<Cell>& cells, bool pinned);
// The gates of all cells. Not pinned: the same without bounds.
std::vector<Figure> FiguresOf(const std::vector<Cell>& cells, bool pinned);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_REPORT_H_
