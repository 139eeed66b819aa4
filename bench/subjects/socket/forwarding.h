// SPDX-License-Identifier: Apache-2.0
// The step between NFS files and the ring: a register page whose requests QEMU forwards over a Unix socket to
// a daemon, as a model on the host.
//
// Modelled, with every copy, system call and wake-up of it: guest memory -> REQUEST_BUF -> message -> socket
// -> the daemon's buffer, decode, add -> message -> socket -> QEMU's buffer -> RESPONSE_BUF -> guest memory.
// The doorbell is a call in the guest's own thread, as an exit is: QEMU runs in the thread of the VM's
// processor then, and nobody has to be woken. The answer arrives in QEMU's main loop, here a process of its
// own; it sets STATUS and raises the interrupt (an eventfd on which the guest sleeps). Where there are only
// two processors, main loop and guest share one, and that wake-up costs next to nothing. In kHandedOn the
// request takes the main loop's way, too.
//
// Left out, all of it in favour of this rival: what an exit costs (one for every four bytes of a register),
// interrupt delivery, QEMU's big lock, other work of its main loop,
// and the daemon's queue, scheduling and backend.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_FORWARDING_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_FORWARDING_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "bench/lib/contest.h"

namespace vgpu::bench::socket {

enum class Waiting : uint8_t {
  kAsItWas,   // guest and daemon look every 2 ms
  kBlocking,  // everybody sleeps until there is something: no polls
  // The same, with a doorbell that only wakes QEMU's main loop (an ioeventfd), which sends the request.
  kHandedOn,
  // Nobody sleeps; in the guest's look at STATUS, an exit, QEMU looks at the socket: no main loop between.
  kSpinning,
};

// `pace`: without one, as fast as answers come.
std::unique_ptr<Contestant> MakeForwarding(Waiting waiting, const std::optional<Pace>& pace = {});

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_FORWARDING_H_
