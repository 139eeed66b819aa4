// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/request.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <system_error>

#include "base/result.h"

namespace vgpu::bench::nfs {
namespace {

constexpr size_t kFields = 5;
constexpr std::string_view kVector = "vector";

// A decimal number and nothing else.
template <class T>
bool ParseNumber(std::string_view text, T* value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stop == end;
}

bool Split(std::string_view line, std::array<std::string_view, kFields>* fields) {
  for (size_t i = 0; i < kFields; ++i) {
    const size_t colon = line.find(':');
    if ((colon == std::string_view::npos) != (i == kFields - 1)) return false;
    (*fields)[i] = line.substr(0, colon);
    line.remove_prefix(colon == std::string_view::npos ? line.size() : colon + 1);
  }
  return true;
}

}  // namespace

std::string TextOf(const Request& request) {
  if (request.vector != 0) {
    return fmt::format("{}:{}:{}:{}:{}\n", request.pool, request.priority, request.vm_id, kVector,
                       request.vector);
  }
  return fmt::format("{}:{}:{}:{}:{}\n", request.pool, request.priority, request.vm_id, request.num1,
                     request.num2);
}

base::Result<Request> ParseRequest(std::string_view line, uint32_t folder_vm_id) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  std::array<std::string_view, kFields> fields;
  if (!Split(line, &fields)) return tl::make_unexpected("not pool_id:priority:vm_id:num1:num2");
  Request request;
  if (fields[0] != "A" && fields[0] != "B") return tl::make_unexpected("pool_id is neither A nor B");
  request.pool = fields[0][0];
  if (!ParseNumber(fields[1], &request.priority) || request.priority > 2) {
    return tl::make_unexpected("priority is not 0, 1 or 2");
  }
  if (!ParseNumber(fields[2], &request.vm_id) || request.vm_id != folder_vm_id) {
    return tl::make_unexpected(fmt::format("vm_id is not {}, its folder's", folder_vm_id));
  }
  if (fields[3] == kVector) {
    if (ParseNumber(fields[4], &request.vector) && request.vector >= 1 && request.vector <= kVectorMax)
      return request;
    return tl::make_unexpected(fmt::format("count is not 1 to {}", kVectorMax));
  }
  if (!ParseNumber(fields[3], &request.num1) || !ParseNumber(fields[4], &request.num2)) {
    return tl::make_unexpected("num1 and num2 are not both 32-bit integers");
  }
  return request;
}

base::Result<uint32_t> VmIdOf(std::string_view folder) {
  uint32_t vm_id;
  if (folder.starts_with("vm") && ParseNumber(folder.substr(2), &vm_id)) return vm_id;
  return tl::make_unexpected("not called vm<number>");
}

}  // namespace vgpu::bench::nfs
