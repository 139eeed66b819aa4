// SPDX-License-Identifier: Apache-2.0
// A cell as JSON, and back: a result may be of several runs.
#ifndef VGPU_BENCH_INTERFERENCE_CELL_JSON_H_
#define VGPU_BENCH_INTERFERENCE_CELL_JSON_H_

#include <nlohmann/json.hpp>

#include "bench/interference/cell.h"

namespace vgpu::bench::interference {

nlohmann::json ToJson(const Cell& cell);
// Of an attack with this name. Throws nlohmann's exceptions if the JSON is not of a cell.
Cell CellFrom(const nlohmann::json& json, const Case& attack);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_CELL_JSON_H_
