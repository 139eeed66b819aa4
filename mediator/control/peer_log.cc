// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/peer_log.h"

#include <spdlog/spdlog.h>

#include "mediator/loop/clock.h"

namespace vgpu::mediator {
namespace {

constexpr int64_t kLeftOutPauseNs = 10'000'000'000;

}  // namespace

void PeerLog::Warn(const std::string& line) {
  const int64_t now_ns = MonotonicNs();
  if (limit_.Allows(line, now_ns)) return spdlog::warn("{}", line);
  LeftOut(now_ns);
}

void PeerLog::SayLife(uint32_t vm_id, const std::string& line) {
  const int64_t now_ns = MonotonicNs();
  if (limit_.AllowsLife(vm_id, now_ns)) return spdlog::info("{}", line);
  LeftOut(now_ns);
}

void PeerLog::LeftOut(int64_t now_ns) {
  if (due_ns_ == INT64_MAX) due_ns_ = now_ns + kLeftOutPauseNs;
}

void PeerLog::DoDue(int64_t now_ns) {
  if (now_ns < due_ns_) return;
  due_ns_ = INT64_MAX;
  spdlog::warn("{} more lines about peers were left out of the log", limit_.TakeLeftOut());
}

}  // namespace vgpu::mediator
