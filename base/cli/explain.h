// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_BASE_CLI_EXPLAIN_H_
#define VGPU_BASE_CLI_EXPLAIN_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace vgpu::cli {

// What is wrong with the command line that `program` has refused, and what would be right.
std::string Explain(const CLI::App& program, const CLI::Error& error);

// Commands but those without a group: a program's own processes are started with these.
std::vector<const CLI::App*> ShownCommands(const CLI::App& program);

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_EXPLAIN_H_
