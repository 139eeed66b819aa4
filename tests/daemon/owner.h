// SPDX-License-Identifier: Apache-2.0
// A region and its eventfds, attached by hand: what QEMU or a host process does, but open to a test at every
// place. The memory outlives any mediator. Guests on its rings sleep on their eventfds with no time-out that
// could hide a lost call.
#ifndef VGPU_TESTS_DAEMON_OWNER_H_
#define VGPU_TESTS_DAEMON_OWNER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "base/unique_fd.h"
#include "ring/abi.h"
#include "ring/memory.h"
#include "ring/producer.h"
#include "tests/daemon/peer.h"

namespace vgpu::test {

struct OwnerOptions {
  uint32_t vm_id = 1;
  uint32_t pool = 'A';
  uint32_t priority = 1;
  uint32_t rings = 1;  // 0: no region
  uint32_t entries = 64;
  uint64_t region_bytes = 1 << 20;
  bool rings_file = true;  // false: as owners of earlier releases
};

struct Doorbells {
  base::UniqueFd kick;
  base::UniqueFd call;
};

class Owner {
 public:
  explicit Owner(OwnerOptions options);

  const OwnerOptions& options() const { return options_; }
  const vgpu_layout& layout() const { return layout_; }
  char* region() const { return region_.data(); }
  int region_fd() const { return region_fd_.get(); }
  int rings_fd() const { return rings_fd_.get(); }
  char* private_file() const { return private_.data(); }
  // The mediator's journal of ring 0.
  vgpu_journal* journal() const { return reinterpret_cast<vgpu_journal*>(private_file() + VGPU_JOURNAL_OFF); }
  char* ring_base(uint32_t q) const { return region() + layout_.ring_off + q * layout_.ring_stride; }
  char* arena(uint32_t q) const { return ring_base(q) + layout_.arena_off; }
  // Index options().rings is the window ring.
  ring::RingRef<ring::RealMemory> ring(uint32_t q) const;
  Doorbells& doorbells(uint32_t q) { return doorbells_[q]; }

  // What an attach says; a test may change it before, to lie.
  vgpu_msg_attach Claim() const;
  std::vector<int> AttachFds() const;
  std::vector<int> RingFds(uint32_t q) const { return {doorbells_[q].kick.get(), doorbells_[q].call.get()}; }

  // HELLO, ATTACH, RING..., START on a connection. Does not wait for the answer.
  void SendAttach(Peer* peer) const;
  // Attaches and returns what was granted; none if the mediator hung up.
  std::optional<vgpu_msg_grant> Attach(const std::string& socket);
  bool attached() const { return peer_ != nullptr; }
  Peer& peer() { return *peer_; }
  // Closes the connection without a word, as a killed process does.
  void Hangup() { peer_.reset(); }

  void Kick(uint32_t q);

 private:
  void MakeRegion();

  const OwnerOptions options_;
  vgpu_layout layout_{};
  base::UniqueFd region_fd_;
  base::UniqueFd rings_fd_;
  base::UniqueFd private_fd_;
  base::Mapping region_;
  base::Mapping private_;
  std::vector<Doorbells> doorbells_;  // of the rings, then of the window
  std::unique_ptr<Peer> peer_;
};

// What ended a wait.
enum class Outcome : uint8_t { kDone, kLinkLost, kTimedOut };

// The guest's side of one ring.
class Guest {
 public:
  Guest(Owner* owner, uint32_t q) : owner_(owner), q_(q), ring_(owner->ring(q)) {}

  // The epoch handshake, in two parts: ask, and wait (again, after a lost link).
  void AskEpoch(bool open);
  Outcome AwaitEpoch(uint32_t* state);
  // Opens the ring and fails the test if that does not work.
  void Open();
  // The window ring is open from the start.
  Outcome AwaitWindow();

  ring::Producer<ring::RealMemory>& producer() { return *producer_; }
  uint32_t Stage(uint32_t opcode, uint32_t type = 0, std::initializer_list<uint64_t> args = {});
  uint32_t Add(int32_t a, int32_t b);
  void Flush();
  // Sleeps until the answer is there, or the link is lost.
  Outcome Await(uint32_t idx, ring::Answer* answer);
  // Flushes and awaits; fails the test if there is no answer.
  ring::Answer Ask(uint32_t idx);

 private:
  // A call comes only for an answer that is new: whoever waits for one takes all the others, too.
  void TakeAll();
  Outcome Sleep();

  Owner* const owner_;
  const uint32_t q_;
  const ring::RingRef<ring::RealMemory> ring_;
  uint32_t epoch_ = 0;
  std::unique_ptr<ring::Producer<ring::RealMemory>> producer_;
  std::map<uint32_t, ring::Answer> taken_;  // by index, and not yet asked for
};

}  // namespace vgpu::test

#endif  // VGPU_TESTS_DAEMON_OWNER_H_
