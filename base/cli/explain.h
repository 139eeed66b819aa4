// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_BASE_CLI_EXPLAIN_H_
#define VGPU_BASE_CLI_EXPLAIN_H_

#include <CLI/CLI.hpp>
#include <string>

namespace vgpu::cli {

// What is wrong with the command line that `program` has refused, and what would be right.
std::string Explain(const CLI::App& program, const CLI::Error& error);

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_EXPLAIN_H_
