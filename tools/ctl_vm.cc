// SPDX-License-Identifier: Apache-2.0
// vgpuctl quarantine, vgpuctl release: a VM that must not, or may again, use the mediator.
#include <nlohmann/json.hpp>

#include "base/cli/output.h"
#include "tools/ctl.h"
#include "tools/ctl_link.h"

namespace vgpu::ctl {
namespace {

Result<void> Tell(const Arguments& arguments, uint32_t type, const char* done) {
  auto link = Link::Open(arguments.socket);
  if (!link) return tl::make_unexpected(link.error());
  const vgpu_msg_vm vm{arguments.vm_id, 0};
  const auto reply =
      (*link)->Ask(type, std::string_view(reinterpret_cast<const char*>(&vm), sizeof vm), VGPU_MSG_DONE);
  if (!reply) return tl::make_unexpected(reply.error());
  if (arguments.json) {
    cli::PrintJson({{"vm_id", arguments.vm_id}, {"done", done}});
  } else {
    cli::Print("VM {} is {}\n", arguments.vm_id, done);
  }
  return {};
}

}  // namespace

Result<void> Quarantine(const Arguments& arguments) {
  return Tell(arguments, VGPU_MSG_QUARANTINE, "quarantined");
}

Result<void> Release(const Arguments& arguments) { return Tell(arguments, VGPU_MSG_RELEASE, "released"); }

}  // namespace vgpu::ctl
