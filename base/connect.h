// SPDX-License-Identifier: Apache-2.0
// A program's end of the mediator's control socket: it connects, waits for answers, and says what went wrong,
// each time with the cause and the remedy.
#ifndef VGPU_BASE_CONNECT_H_
#define VGPU_BASE_CONNECT_H_

#include <chrono>
#include <string>
#include <tl/expected.hpp>

#include "base/channel.h"
#include "base/unique_fd.h"

namespace vgpu::base {

struct ConnectError {
  int error = 0;  // errno
  std::string text;
};

// `socket` is a stream socket of AF_UNIX.
tl::expected<void, ConnectError> Connect(int socket, const std::string& path);

// Waits until `socket` has something to receive, the end of its connection included. False: it had nothing
// until the deadline. A deadline that has passed only asks.
bool WaitReadable(int socket, std::chrono::steady_clock::time_point deadline);

// Waits for the next whole frame. kNothingYet: it was not there at the deadline; what has come of it is kept.
tl::expected<Received, ChannelError> AwaitFrame(Channel& channel,
                                                std::chrono::steady_clock::time_point deadline,
                                                Frame<UniqueFd>* frame);

inline constexpr const char* kHungUp =
    "the mediator closed the connection: see its log for the reason, or start it again";

// For the user: why what came is of no use to a program that speaks `format`.
std::string Explain(const ChannelError& error, const FrameFormat& format);

}  // namespace vgpu::base

#endif  // VGPU_BASE_CONNECT_H_
