// SPDX-License-Identifier: Apache-2.0
// What went wrong, for a program (a code) and for its user (a sentence that names the cause and the remedy).
#ifndef VGPU_GUEST_ERROR_H_
#define VGPU_GUEST_ERROR_H_

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "api/codes.h"
#include "base/channel.h"
#include "base/connect.h"
#include "guest/codes.h"

namespace vgpu::guest {

struct Error {
  // A failure that came with VGPU_OK, which its origin should not have said, gets a code of its own.
  Error(uint32_t failed_with, std::string why)
      : code(failed_with == VGPU_OK ? VGPU_ERR_VERSION : failed_with), text(std::move(why)) {}

  uint32_t code;  // VGPU_ERR_* of api/codes.h or guest/codes.h, never VGPU_OK
  std::string text;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(uint32_t code, std::string text) {
  return tl::make_unexpected(Error{code, std::move(text)});
}

// As Fail, with the system's reason (errno) after `what`, and its remedy where that is known.
tl::unexpected<Error> FailErrno(uint32_t code, const std::string& what);

// What a connection that could not be made means: a path that is wrong is a bad argument.
uint32_t CodeOf(const base::ConnectError& failure);
// The same of one that is of no use any more.
uint32_t CodeOf(const base::ChannelError& failure);

// A short name ("fenced"); "unknown code" for what is none. Static storage.
const char* CodeName(uint32_t code);

// One sentence or two for the code alone: what it means, and what to do next. Static storage.
const char* ExplainCode(uint32_t code);

// The error of a request that failed with `code`, whatever that is: it comes from the device or the mediator.
Error Refused(uint32_t code);

// What was read cannot be: the device does not answer.
Error DeviceGone();

// No mediator is attached: because it refuses this VM with the code `refusal`, or else (VGPU_OK) for the
// reason that `otherwise` names.
Error Unattached(uint32_t refusal, std::string otherwise);

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_ERROR_H_
