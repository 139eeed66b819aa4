// SPDX-License-Identifier: Apache-2.0
// The old daemon's part: the answer to one message.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_DAEMON_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_DAEMON_H_

#include "bench/subjects/socket/message.h"

namespace vgpu::bench::socket {

// `request` is the daemon's own copy.
void Answer(const Message& request, Message* response);

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_DAEMON_H_
