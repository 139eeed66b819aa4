// SPDX-License-Identifier: Apache-2.0
// All bytes of a stream, in however many pieces they come. False: the other side is gone. (Who writes to a
// socket ignores SIGPIPE.)
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_STREAM_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_STREAM_H_

#include <cstddef>

namespace vgpu::bench::socket {

bool ReadAll(int fd, void* to, size_t bytes);
bool WriteAll(int fd, const void* from, size_t bytes);

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_STREAM_H_
