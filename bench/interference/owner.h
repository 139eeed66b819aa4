// SPDX-License-Identifier: Apache-2.0
// Everything that the owner of a region (QEMU, or a host process) can say to a mediator, right or wrong. For
// programs that attack and for those that must not notice;
// they end themselves when anything of their own fails.
#ifndef VGPU_BENCH_INTERFERENCE_OWNER_H_
#define VGPU_BENCH_INTERFERENCE_OWNER_H_

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/vector.h"
#include "base/unique_fd.h"
#include "ring/abi.h"
#include "ring/control.h"
#include "ring/epoch.h"
#include "ring/memory.h"
#include "ring/producer.h"
#include "ring/ring_ref.h"

namespace vgpu::bench::interference {

using base::UniqueFd;
using ring::Producer;
using ring::RealMemory;
using ring::RingRef;

int64_t NowNs();
void SleepNs(int64_t ns);

// Set by SIGTERM and SIGINT: what runs until it is stopped ends soon after.
extern std::atomic<bool> g_stop;
// Signals, priority, descriptors: what each program does first. It dies with its parent.
void BeginProgram();
// Sleeps until the program is stopped.
void AwaitStop();

// A line on stdout, which the harness reads.
[[gnu::format(printf, 1, 2)]] void Say(const char* format, ...);
// Tells the harness that the attack is in place.
void Ready();
// Says what failed, and why, and ends this process.
[[noreturn, gnu::format(printf, 1, 2)]] void Die(const char* format, ...);

// A memfd; its seals are those that the mediator wants, or 0.
inline constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
UniqueFd Memfd(const char* name, uint64_t bytes, unsigned flags = 0, int seals = kSeals);
char* Map(int fd, uint64_t bytes);
// Makes every page present, at this process's expense: the mediator pays for nobody's memory.
void Populate(char* memory, uint64_t bytes);
// Drops every page of a part of a file, which no seal forbids.
void Punch(int fd, uint64_t offset, uint64_t bytes);
// An eventfd; one that gives up its count one by one stays readable for ever once it has been filled.
UniqueFd Eventfd(int flags = 0);
void Fill(int eventfd);

// What Receive returns beside types of messages.
inline constexpr uint32_t kHungUp = 0;
inline constexpr uint32_t kTimeOut = ~0u;

// A connection to the control socket that promises nothing.
class Connection {
 public:
  bool Connect(const std::string& path);
  void Close() { fd_.reset(); }
  bool open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }

  static std::string Encode(uint32_t type, const void* payload = nullptr, uint32_t size = 0);
  bool SendBytes(const void* data, size_t bytes, const std::vector<int>& fds = {}, int flags = 0) const;
  bool Send(uint32_t type, const void* payload = nullptr, uint32_t size = 0,
            const std::vector<int>& fds = {}) const;
  bool Hello(uint32_t role = VGPU_ROLE_PROCESS) const;
  // The next message's type; kHungUp and kTimeOut are none.
  uint32_t Receive(std::string* payload, int timeout_ms = 10000) const;
  // Reads and drops whatever came; how much that was.
  size_t Drain() const;
  // False: the other side has hung up.
  bool StillOpen() const;

 private:
  // As Receive: kHungUp, kTimeOut, or another value once all is there.
  uint32_t ReadAll(char* to, size_t bytes, int64_t end_ns) const;

  UniqueFd fd_;
};

struct VmOptions {
  uint32_t vm_id = 1;
  uint32_t priority = 1;
  uint32_t rings = 1;
  uint32_t entries = 64;
  uint64_t bytes = 1 << 20;
  unsigned memfd_flags = 0;
  bool rings_file = true;       // false: as owners of earlier releases, and with huge pages
  const char* name = "attack";  // of its memfds: the harness looks for them in the mediator
};

// A region, its private file, its eventfds and its connection: what a device has, without one.
class Vm {
 public:
  explicit Vm(const VmOptions& options);
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;
  ~Vm();

  const VmOptions& options() const { return options_; }
  const vgpu_layout& layout() const { return layout_; }
  Connection& connection() { return connection_; }
  const std::string& error() const { return error_; }
  int region_fd() const { return region_fd_.get(); }
  int rings_fd() const { return rings_fd_.get(); }
  int private_fd() const { return private_fd_.get(); }
  int call(uint32_t q) const { return call_[q].get(); }
  int kick(uint32_t q) const { return kick_[q].get(); }
  void set_kick(uint32_t q, UniqueFd fd) { kick_[q] = std::move(fd); }
  // One more than there are rings: the last one is the register window's.
  uint32_t doorbells() const { return options_.rings + 1; }

  char* region() const { return region_; }
  char* arena(uint32_t q) const { return base(q) + layout_.arena_off; }
  RingRef<RealMemory> ring(uint32_t q) const { return ring::RingAt(base(q), options_.entries); }
  Producer<RealMemory>& producer(uint32_t q) { return *producers_[q]; }
  uint32_t epoch(uint32_t q) const { return epochs_[q]; }
  // How many requests of this ring the mediator has taken.
  uint32_t TakenBy(uint32_t q) const;

  // HELLO, ATTACH, RING and START without looking at what comes back.
  void SendAttach();
  // True: granted. Else error() has the reason.
  bool AwaitGrant(int timeout_ms = 30000);
  bool Attach(const std::string& socket, int timeout_ms = 30000);
  // Asks for a new epoch of the ring, and waits until it is open; false after a time-out.
  void AskEpoch(uint32_t q);
  bool Open(uint32_t q, int timeout_ms = 10000);
  bool OpenAll();
  // Gives the region's memory back, as far as this process had it.
  void DropRegion();

  void Kick(uint32_t q) const;
  uint32_t Add(uint32_t q, uint32_t a, uint32_t b);
  uint32_t Nop(uint32_t q) { return producers_[q]->Stage(VGPU_OP_NOP, 0, nullptr, 0); }
  // Vectors of i32 at these offsets of the arena.
  uint32_t AddVectors(uint32_t q, uint64_t count, uint64_t a, uint64_t b, uint64_t c);
  void Flush(uint32_t q);

 private:
  void LayRings();
  char* base(uint32_t q) const { return region_ + layout_.ring_off + q * layout_.ring_stride; }

  const VmOptions options_;
  vgpu_layout layout_{};
  UniqueFd region_fd_, rings_fd_, private_fd_;
  char* region_ = nullptr;
  char* private_ = nullptr;
  std::array<UniqueFd, VGPU_RINGS_MAX + 1> kick_, call_;
  Connection connection_;
  std::string error_;
  std::array<std::unique_ptr<Producer<RealMemory>>, VGPU_RINGS_MAX> producers_;
  std::array<uint32_t, VGPU_RINGS_MAX> epochs_{};
};

// "--name value" pairs.
class Args {
 public:
  Args(int argc, char** argv) : argc_(argc), argv_(argv) {}
  const char* Text(const char* name, const char* fallback) const;
  long Number(const char* name, long fallback) const;
  std::string socket() const { return Text("--socket", "mediator.sock"); }
  // Sizes and names of a VM, with what is usual for this program.
  VmOptions Vm(uint32_t rings, uint32_t entries, uint64_t bytes) const;

 private:
  const int argc_;
  char** const argv_;
};

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_OWNER_H_
