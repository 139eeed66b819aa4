// SPDX-License-Identifier: Apache-2.0
// vgpuctl's connection to a mediator, as its operator.
#ifndef VGPU_TOOLS_CTL_LINK_H_
#define VGPU_TOOLS_CTL_LINK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/channel.h"
#include "base/unique_fd.h"
#include "guest/error.h"
#include "ring/control_format.h"

namespace vgpu::ctl {

using Reply = base::Frame<base::UniqueFd>;

class Link {
 public:
  // Connects and greets. Gives up after a few seconds, as Ask does.
  static guest::Result<std::unique_ptr<Link>> Open(const std::string& socket_path);

  // Sends one message and waits for its reply; what the mediator refuses is an error with its words.
  guest::Result<Reply> Ask(uint32_t type, std::string_view payload, uint32_t reply_type);

 private:
  explicit Link(base::UniqueFd socket) : channel_(std::move(socket), ring::kOperatorsEnd) {}
  guest::Result<Reply> Await(uint32_t type);

  base::Channel channel_;
};

}  // namespace vgpu::ctl

#endif  // VGPU_TOOLS_CTL_LINK_H_
