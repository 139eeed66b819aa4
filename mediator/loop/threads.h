// SPDX-License-Identifier: Apache-2.0
// Starts threads. A limit on tasks becomes an error with a sentence, not an exception.
#ifndef VGPU_MEDIATOR_LOOP_THREADS_H_
#define VGPU_MEDIATOR_LOOP_THREADS_H_

#include <functional>
#include <string>
#include <thread>

#include "base/result.h"

namespace vgpu::mediator {

// Starts a thread that gets no signals but the synchronous ones. `what` it is for is named in the error.
base::Result<std::thread> StartThread(const std::string& what, std::function<void()> run);

// "WHAT: cause (remedy)", for what the system refuses: a descriptor, a thread, a process, memory.
std::string Refused(const std::string& what, int error);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_LOOP_THREADS_H_
