// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/control_channel.h"

#include <fmt/format.h>

#include "ring/control.h"

namespace vgpu::mediator {

std::string Explain(const base::ChannelError& error) {
  using base::ChannelFault;
  switch (error.fault) {
    case ChannelFault::kForeign:
      return "this is no vgpu-ring control message: does the chardev point at the right socket?";
    case ChannelFault::kVersion:
      return fmt::format(
          "control protocol version {} instead of {}: use a QEMU device and a mediator of one release",
          error.value, VGPU_CONTROL_VERSION);
    case ChannelFault::kTooLong:
      return fmt::format("a control message of {} bytes; at most {}", error.value, VGPU_CONTROL_PAYLOAD_MAX);
    case ChannelFault::kTooManyFds:
      return fmt::format("more than {} descriptors with one message", VGPU_CONTROL_FDS_MAX);
    case ChannelFault::kNoFdsLeft:
      return "this process has no descriptors left for those of the message: raise its limit (LimitNOFILE=, "
             "ulimit -n)";
    case ChannelFault::kCutOff: break;
  }
  return "the connection ended in the middle of a message";
}

}  // namespace vgpu::mediator
