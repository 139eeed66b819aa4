// SPDX-License-Identifier: Apache-2.0
// What may fail, and why.
#ifndef VGPU_BASE_RESULT_H_
#define VGPU_BASE_RESULT_H_

#include <string>
#include <tl/expected.hpp>

namespace vgpu::base {

// Errors are sentences that name the cause and the remedy.
template <class T>
using Result = tl::expected<T, std::string>;

// `what`, and what errno says.
tl::unexpected<std::string> SystemError(const char* what);

}  // namespace vgpu::base

#endif  // VGPU_BASE_RESULT_H_
