// SPDX-License-Identifier: Apache-2.0
// The file of a result. It is written after each cell, and a later run continues it: of what was measured in
// the same way, nothing is measured again.
#ifndef VGPU_BENCH_INTERFERENCE_RESULT_FILE_H_
#define VGPU_BENCH_INTERFERENCE_RESULT_FILE_H_

#include <optional>
#include <string>
#include <vector>

#include "bench/interference/cell.h"

namespace vgpu::bench::interference {

// The cells of an earlier run, in the order of the matrix, but for those that were skipped or went wrong.
// None if there is no such file. An error: it is no result, or one of other settings.
Result<std::vector<Cell>> EarlierCells(const std::string& path, const Settings& settings);

// False (and a message) if the file cannot be written. An interruption leaves the old one or the new one.
bool WriteResult(const std::string& path, const std::vector<Cell>& cells, const Settings& settings);

// Of what is measured here and now. Empty `commit`: what git says of the folder that
// `bazel run` was called for.
Origin OriginOf(const Settings& settings, const std::string& commit);

// A line for each build and machine whose cells are in it, if there is more than one.
std::string OriginsText(const std::vector<Cell>& cells);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_RESULT_FILE_H_
