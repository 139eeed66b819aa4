// SPDX-License-Identifier: Apache-2.0
// eventfds. One that came from an owner stays the owner's, too: it may set or clear O_NONBLOCK and fill the
// counter at any time. Nothing here ever blocks, whatever it does.
#ifndef VGPU_MEDIATOR_LOOP_EVENTFD_H_
#define VGPU_MEDIATOR_LOOP_EVENTFD_H_

namespace vgpu::mediator {

// Takes the count out of an eventfd.
void DrainEventfd(int fd);

// Adds one to an eventfd that only this process holds, non-blocking or with a counter that cannot fill up.
void SignalEventfd(int fd);

// Adds one to an owner's eventfd. A counter that is full stays full: its reader wakes up all the same. Takes
// about a microsecond, some 0.6 us more than SignalEventfd. Any thread.
void SignalOwnersEventfd(int fd);

// The first SignalOwnersEventfd of a thread takes longer, and a descriptor,
// unless the thread has called this.
void PrepareToSignal();

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_EVENTFD_H_
