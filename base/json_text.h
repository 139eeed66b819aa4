// SPDX-License-Identifier: Apache-2.0
// The one way in which our programs write JSON.
#ifndef VGPU_BASE_JSON_TEXT_H_
#define VGPU_BASE_JSON_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

namespace vgpu::base {

// Never throws: names of processors, GPUs, files and drivers are bytes, and what is not UTF-8 becomes U+FFFD.
// `indent` as in json::dump.
template <class Json>
std::string JsonTextOf(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}
inline std::string JsonText(const nlohmann::json& json, int indent = -1) { return JsonTextOf(json, indent); }

}  // namespace vgpu::base

#endif  // VGPU_BASE_JSON_TEXT_H_
