// SPDX-License-Identifier: Apache-2.0
// The attacks. Each runs until it is stopped, tells the harness when it is in place, and says at the end what
// it did.
#ifndef VGPU_BENCH_INTERFERENCE_ATTACK_H_
#define VGPU_BENCH_INTERFERENCE_ATTACK_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/interference/owner.h"

namespace vgpu::bench::interference {

struct Attack {
  const char* name;
  void (*run)(const Args&);
};

std::span<const Attack> GuestAttacks();       // rings and doorbells only
std::span<const Attack> AttachAttacks();      // coming and going
std::span<const Attack> ConnectionAttacks();  // messages of the control socket
std::span<const Attack> DescriptorAttacks();  // what a descriptor can be
std::span<const Attack> FuseAttacks();        // a file whose server does not answer
std::span<const Attack> MemoryAttacks();      // pages that vanish

// An attached VM with all rings open, or the end of this process.
std::unique_ptr<Vm> Attached(const Args& args, const VmOptions& options);
// As many of these as the mediator takes; the first one must be among them.
// `change` may change one before it attaches.
std::vector<std::unique_ptr<Vm>> AttachedMany(const Args& args, const VmOptions& options, long count,
                                              const std::function<void(Vm*)>& change = {}, bool open = true);
// Hands descriptors over with a message that takes none: the mediator must throw them away.
class Thrower {
 public:
  explicit Thrower(const Args& args) : socket_(args.socket()) {}
  // The connection stays: on one that is gone the mediator may never take the descriptor out of its message.
  bool Throw(int fd);
  // Until the mediator has hung up the last one, or this is stopped.
  void AwaitHangUp() const;

 private:
  const std::string socket_;
  std::vector<Connection> last_;
};

// Takes what answers there are; how many.
uint32_t TakeAnswers(Vm* vm, uint32_t q);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_ATTACK_H_
