// SPDX-License-Identifier: Apache-2.0
// Vectors through a VM's virtio-serial port, at whose other end is a PortDaemon.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_PORT_WAY_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_PORT_WAY_H_

#include <memory>
#include <string>

#include "bench/lib/vector_way.h"

namespace vgpu::bench::socket {

// `device`: of the port ("/dev/port2"). Throws what the system says.
std::unique_ptr<VectorWay> MakePortWay(const std::string& device);

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_PORT_WAY_H_
