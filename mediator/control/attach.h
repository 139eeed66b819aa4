// SPDX-License-Identifier: Apache-2.0
// From an attach message and its descriptors to checked, mapped memory.
#ifndef VGPU_MEDIATOR_CONTROL_ATTACH_H_
#define VGPU_MEDIATOR_CONTROL_ATTACH_H_

#include <sys/types.h>

#include <array>
#include <compare>

#include "mediator/lane/session.h"
#include "mediator/process/config.h"
#include "ring/control.h"

namespace vgpu::mediator {

// Why an attach is refused: a code of the protocol and a sentence.
struct Refusal {
  uint32_t code;
  std::string text;
};

// Checks the claim against the configuration. Returns the identity that the VM gets, or why it gets none.
// Pure. `layout` gets ring_count 0 with ring=off.
tl::expected<Identity, Refusal> CheckClaim(const vgpu_msg_attach& claim, const Config& config,
                                           vgpu_layout* layout);

// Is this descriptor of a kind that an owner may send? Checked before anything is done with it that its owner
// could make slow.
tl::expected<void, Refusal> CheckIsMemfd(const char* what, int fd);
tl::expected<void, Refusal> CheckIsEventfd(const char* what, int fd);

// Which memory a descriptor leads to, whatever its number. {}: none.
struct MemoryId {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const MemoryId&) const = default;
};
// Of a memfd.
MemoryId MemoryIdOf(int fd);
// Of one attach: the private file, the region, the rings file.
using MemoryIds = std::array<MemoryId, 3>;

// Maps and checks the memory of a session, a few milliseconds a step. Its owner has made the pages present,
// so that its own memory cgroup pays for them. Memory with missing pages is refused.
class MemoryPreparer {
 public:
  // `region` and `rings` are invalid with ring=off; `rings` also if the owner is of an earlier release. All
  // have passed CheckIsMemfd.
  MemoryPreparer(const vgpu_layout& layout, PeerFd private_file, PeerFd region, PeerFd rings);

  // True: the memory is ready, and Step is not to be called again.
  tl::expected<bool, Refusal> Step();

  // Once it is ready.
  SessionMemory Take() { return std::move(memory_); }
  // If the memory is not wanted after all: unmaps up to so many bytes. False: nothing is left.
  bool UnmapSome(size_t bytes) { return memory_.region.UnmapSome(bytes); }

 private:
  tl::expected<base::GuardedMapping, Refusal> MapPrivateFile();
  tl::expected<base::GuardedMapping, Refusal> MapRegion();
  tl::expected<void, Refusal> MapAll();

  PeerFd private_fd_;
  SessionMemory memory_;
  bool mapped_ = false;
  size_t present_bytes_ = 0;  // of the region
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_ATTACH_H_
