// SPDX-License-Identifier: Apache-2.0
// The frames of the control socket (control.h), for base/channel.h.
#ifndef VGPU_RING_CONTROL_FORMAT_H_
#define VGPU_RING_CONTROL_FORMAT_H_

#include <cstddef>

#include "base/channel.h"
#include "ring/control.h"

namespace vgpu::ring {

static_assert(sizeof(vgpu_msg_header) == sizeof(base::FrameHeader));
static_assert(offsetof(vgpu_msg_header, magic) == offsetof(base::FrameHeader, magic));
static_assert(offsetof(vgpu_msg_header, version) == offsetof(base::FrameHeader, version));
static_assert(offsetof(vgpu_msg_header, type) == offsetof(base::FrameHeader, type));
static_assert(offsetof(vgpu_msg_header, size) == offsetof(base::FrameHeader, size));

// The mediator's end: a whole status waits for an operator that reads slowly.
inline constexpr base::FrameFormat kMediatorsEnd{.magic = VGPU_CONTROL_MAGIC,
                                                 .version = VGPU_CONTROL_VERSION,
                                                 .fds_max = VGPU_CONTROL_FDS_MAX,
                                                 .payload_max = VGPU_CONTROL_PAYLOAD_MAX,
                                                 .queued_max = VGPU_CONTROL_STATUS_BYTES_MAX + (1 << 16)};

// An owner's end, which gets no descriptors.
inline constexpr base::FrameFormat kOwnersEnd{.magic = VGPU_CONTROL_MAGIC,
                                              .version = VGPU_CONTROL_VERSION,
                                              .fds_max = 0,
                                              .payload_max = VGPU_CONTROL_PAYLOAD_MAX,
                                              .queued_max = 1 << 16};

// An operator's end, which also gets a status.
inline constexpr base::FrameFormat kOperatorsEnd{.magic = VGPU_CONTROL_MAGIC,
                                                 .version = VGPU_CONTROL_VERSION,
                                                 .fds_max = 0,
                                                 .payload_max = VGPU_CONTROL_STATUS_BYTES_MAX,
                                                 .queued_max = 1 << 16};

}  // namespace vgpu::ring

#endif  // VGPU_RING_CONTROL_FORMAT_H_
