// SPDX-License-Identifier: Apache-2.0
// The mediator's end of a control connection: frames whose descriptors belong to a peer, and the words for
// what is wrong with them.
#ifndef VGPU_MEDIATOR_CONTROL_CONTROL_CHANNEL_H_
#define VGPU_MEDIATOR_CONTROL_CONTROL_CHANNEL_H_

#include <string>
#include <utility>

#include "base/channel.h"
#include "mediator/loop/peer_fd.h"
#include "ring/control_format.h"

namespace vgpu::mediator {

using ControlMessage = base::Frame<PeerFd>;
using ControlChannel = base::BasicChannel<PeerFd>;

inline ControlChannel MakeControlChannel(PeerFd socket) { return {std::move(socket), ring::kMediatorsEnd}; }

// For the peer and the log: what is wrong, and the remedy where there is one.
std::string Explain(const base::ChannelError& error);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_CONTROL_CHANNEL_H_
