// SPDX-License-Identifier: Apache-2.0
// Admission: how often one peer may connect and attach, so that nobody keeps the others out. Pure: the caller
// brings the clock and the peers' names.
#ifndef VGPU_MEDIATOR_CONTROL_ADMISSION_H_
#define VGPU_MEDIATOR_CONTROL_ADMISSION_H_

#include <sys/types.h>

#include <algorithm>
#include <compare>
#include <cstdint>
#include <iterator>
#include <map>

namespace vgpu::mediator {

// A process at the other end of a connection.
struct PeerId {
  uid_t uid = 0;
  pid_t pid = 0;
  auto operator<=>(const PeerId&) const = default;
};

// Tokens come at a fixed rate, up to a number; each use takes one.
class TokenBucket {
 public:
  TokenBucket(double per_second, double most) : per_second_(per_second), most_(most), tokens_(most) {}

  // When the next token is there: `now_ns` or before, if one is.
  int64_t NextNs(int64_t now_ns) {
    Refill(now_ns);
    return tokens_ >= 1 ? now_ns : now_ns + static_cast<int64_t>((1 - tokens_) / per_second_ * 1e9);
  }
  bool TryTake(int64_t now_ns) {
    Refill(now_ns);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  bool full(int64_t now_ns) {
    Refill(now_ns);
    return tokens_ >= most_;
  }

 private:
  void Refill(int64_t now_ns) {
    if (refilled_ns_ != 0)
      tokens_ += static_cast<double>(std::max<int64_t>(0, now_ns - refilled_ns_)) / 1e9 * per_second_;
    tokens_ = std::min(most_, tokens_);
    refilled_ns_ = now_ns;
  }

  double per_second_;
  double most_;
  double tokens_;
  int64_t refilled_ns_ = 0;
};

class Admission {
 public:
  // How many connections a process may open a second, and how many attaches it may begin; more at once after
  // a rest.
  static constexpr double kConnectionsPerSecond = 2000, kConnectionsAtOnce = 4000;
  static constexpr double kAttachesPerSecond = 50, kAttachesAtOnce = 300;
  // How many connections of one process may be unattached. With one more, the one that has been silent for
  // the longest time must go.
  static constexpr uint32_t kUnattachedMax = 32;

  bool MayConnect(PeerId peer, int64_t now_ns) { return Of(peer, now_ns).connections.TryTake(now_ns); }
  // 0: now. Else when to ask again.
  int64_t AttachAt(PeerId peer, int64_t now_ns) {
    TokenBucket& attaches = Of(peer, now_ns).attaches;
    return attaches.TryTake(now_ns) ? 0 : attaches.NextNs(now_ns);
  }
  size_t peers_known() const { return peers_.size(); }

 private:
  static constexpr size_t kPeersMax = 4096;

  struct Peer {
    TokenBucket connections{kConnectionsPerSecond, kConnectionsAtOnce};
    TokenBucket attaches{kAttachesPerSecond, kAttachesAtOnce};
  };

  Peer& Of(PeerId peer, int64_t now_ns) {
    if (peers_.size() >= kPeersMax) Forget(now_ns);
    return peers_[peer];
  }
  // Forgets processes that have rested: they are as good as new ones.
  void Forget(int64_t now_ns) {
    for (auto peer = peers_.begin(); peer != peers_.end();) {
      const bool rested = peer->second.connections.full(now_ns) && peer->second.attaches.full(now_ns);
      peer = rested ? peers_.erase(peer) : std::next(peer);
    }
  }

  std::map<PeerId, Peer> peers_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_ADMISSION_H_
