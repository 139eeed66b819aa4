// SPDX-License-Identifier: Apache-2.0
// From an attach message and its descriptors to checked, mapped, populated memory. Runs on the background thread.
#ifndef VGPU_MEDIATOR_ATTACH_H_
#define VGPU_MEDIATOR_ATTACH_H_

#include "mediator/config.h"
#include "mediator/session.h"
#include "ring/control.h"

namespace vgpu::mediator {

// Why an attach is refused: a code of the protocol and a sentence.
struct Refusal {
  uint32_t code;
  std::string text;
};

// The claim against the configuration; what is granted, or why not. Pure. `layout` gets ring_count 0 with ring=off.
tl::expected<Grant, Refusal> CheckClaim(const vgpu_msg_attach& claim, const Config& config, vgpu_layout* layout);

// Maps and populates the memory of a session. Takes about 0.3 ms a MiB. `region` is invalid with ring=off.
tl::expected<SessionMemory, Refusal> PrepareMemory(const vgpu_layout& layout, const ring::UniqueFd& private_file,
                                                   const ring::UniqueFd& region);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_ATTACH_H_
