// SPDX-License-Identifier: Apache-2.0
// The mediator's end of a control connection: frames whose descriptors are a peer's, and the words for what
// is wrong.
#ifndef VGPU_MEDIATOR_CONTROL_CHANNEL_H_
#define VGPU_MEDIATOR_CONTROL_CHANNEL_H_

#include <string>
#include <utility>

#include "base/channel.h"
#include "mediator/peer_fd.h"
#include "ring/control_format.h"

namespace vgpu::mediator {

using ControlMessage = base::Frame<PeerFd>;
using ControlChannel = base::BasicChannel<PeerFd>;

inline ControlChannel MakeControlChannel(PeerFd socket) { return {std::move(socket), ring::kMediatorsEnd}; }

// For the peer: what it did, and the remedy.
std::string Explain(const base::ChannelError& error);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_CHANNEL_H_
