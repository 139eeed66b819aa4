// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_BASE_CLI_ERROR_H_
#define VGPU_BASE_CLI_ERROR_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace vgpu::cli {

// The code of a command line that is wrong: VGPU_ERR_BAD_ARGUMENT of the C library.
inline constexpr uint32_t kBadArgument = 0x104;
inline constexpr char kBadArgumentName[] = "bad argument";

// {"code", "name", "text"}: the value of "error" in any JSON that has one.
nlohmann::json ErrorJson(uint32_t code, const std::string& name, const std::string& text);

// "PROGRAM: TEXT" on stderr, and with `json` also {"error": {"code", "name", "text"}} on stdout.
void PrintError(const std::string& program, bool json, uint32_t code, const std::string& name,
                const std::string& text);

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_ERROR_H_
