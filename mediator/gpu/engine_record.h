// SPDX-License-Identifier: Apache-2.0
// Which engine processes run, written beside the socket: a mediator that follows one that died waits for
// their end, since they could still write into memory that it is about to use.
#ifndef VGPU_MEDIATOR_GPU_ENGINE_RECORD_H_
#define VGPU_MEDIATOR_GPU_ENGINE_RECORD_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace vgpu::mediator {

class EngineRecord {
 public:
  explicit EngineRecord(std::string path) : path_(std::move(path)) {}

  // Replaces the file as a whole; an empty list removes it. A failure is logged: the next mediator cannot
  // wait then.
  void Write(const std::vector<pid_t>& engines) const;
  // Kills what is left of the list, and waits until it is gone: only what has the same boot, pid, start time
  // and name, since numbers come again. Needs LockSocket: their mediator is no more.
  base::Result<void> EndOrphans() const;

 private:
  const std::string path_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_ENGINE_RECORD_H_
