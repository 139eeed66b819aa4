// SPDX-License-Identifier: Apache-2.0
#include "base/cli/error.h"

#include "base/cli/output.h"

namespace vgpu::cli {

void PrintError(const std::string& program, bool json, uint32_t code, const std::string& name,
                const std::string& text) {
  Say(program, text);
  if (json) PrintJson(nlohmann::json{{"error", {{"code", code}, {"name", name}, {"text", text}}}});
}

}  // namespace vgpu::cli
