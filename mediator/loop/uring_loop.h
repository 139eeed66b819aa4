// SPDX-License-Identifier: Apache-2.0
// The event loop of Linux: an io_uring. Its .cc file is the only one of the daemon that knows liburing.
//
// Every watch is a one-shot poll that is armed again after its handler ran. So one descriptor has at most one
// completion outstanding: whoever floods an eventfd with kicks can neither overflow the completion queue nor
// disarm a watch (as a multishot poll would be).
#ifndef VGPU_MEDIATOR_LOOP_URING_LOOP_H_
#define VGPU_MEDIATOR_LOOP_URING_LOOP_H_

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "mediator/loop/event_loop.h"

namespace vgpu::mediator {

// `watches_max` bounds how many descriptors can be watched at a time. The error names the cause, for instance
// that io_uring is disabled on this machine. The loop is broken when the kernel refuses io_uring_enter.
base::Result<std::unique_ptr<EventLoop>> MakeUringLoop(uint32_t watches_max);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_URING_LOOP_H_
