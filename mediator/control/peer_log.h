// SPDX-License-Identifier: Apache-2.0
// What the log says about peers, who could fill it. What was left out is counted and said later.
#ifndef VGPU_MEDIATOR_CONTROL_PEER_LOG_H_
#define VGPU_MEDIATOR_CONTROL_PEER_LOG_H_

#include <cstdint>
#include <string>

#include "mediator/control/log_limit.h"

namespace vgpu::mediator {

// Control thread only.
class PeerLog {
 public:
  // Something went wrong.
  void Warn(const std::string& line);
  // A VM came, or went.
  void SayLife(uint32_t vm_id, const std::string& line);

  // When DoDue has something to do: steady clock, INT64_MAX for never.
  int64_t due_ns() const { return due_ns_; }
  // Says how many lines were left out, if that is due.
  void DoDue(int64_t now_ns);

 private:
  void LeftOut(int64_t now_ns);

  LogLimit limit_;
  int64_t due_ns_ = INT64_MAX;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_PEER_LOG_H_
