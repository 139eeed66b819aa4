// SPDX-License-Identifier: Apache-2.0
#include "base/cli/error.h"

#include "base/cli/output.h"

namespace vgpu::cli {

nlohmann::json ErrorJson(uint32_t code, const std::string& name, const std::string& text) {
  return {{"code", code}, {"name", name}, {"text", text}};
}

void PrintError(const std::string& program, bool json, uint32_t code, const std::string& name,
                const std::string& text) {
  Say(program, text);
  if (json) PrintJson({{"error", ErrorJson(code, name, text)}});
}

}  // namespace vgpu::cli
