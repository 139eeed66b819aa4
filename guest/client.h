// SPDX-License-Identifier: Apache-2.0
// One ring, opened: submit requests, flush them, poll or wait for their answers, keep buffers in the arena.
//
//   auto client = Client::Open(transport, 0, Clock::now() + 5s);
//   uint32_t idx = (*client)->Add(100, 200);
//   auto answer = (*client)->Wait(idx, Clock::now() + 1s);     // (*answer).data == 300
//
// Submit, Flush and Poll are the request path: no allocation, no system call (but for the kick of a mediator
// that sleeps), no virtual call.
#ifndef VGPU_GUEST_CLIENT_H_
#define VGPU_GUEST_CLIENT_H_

#include <atomic>
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "api/device_info.h"
#include "api/vector.h"
#include "guest/arena.h"
#include "guest/error.h"
#include "guest/transport.h"
#include "guest/waiting.h"
#include "ring/abi.h"
#include "ring/epoch.h"
#include "ring/memory.h"
#include "ring/producer.h"

namespace vgpu::guest {

using ring::Answer;

// A block of the ring's arena, freed at the end of its life. Must not outlive its client, nor end while a
// request that names it is outstanding.
class Buffer {
 public:
  // Of a block that this arena has given; Client::Allocate makes them.
  Buffer(Arena* arena, uint64_t offset, uint64_t bytes, char* data)
      : arena_(arena), offset_(offset), bytes_(bytes), data_(data) {}
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  uint64_t offset() const { return offset_; }  // what requests name
  uint64_t bytes() const { return bytes_; }
  // Shared memory: the other side may read and write it while a request that names it is outstanding.
  char* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  // Gives the block up without freeing it: a request that names it may still be answered.
  void Abandon() { arena_ = nullptr; }

 private:
  Arena* arena_;
  uint64_t offset_;
  uint64_t bytes_;
  char* data_;
};

// Single-threaded: one thread at a time uses a client.
// Clients on different rings are independent of each other.
class Client {
 public:
  using Memory = ring::RealMemory;

  // Claims the ring and opens it. The mediator first finishes or cancels whatever an earlier owner left.
  static Result<std::unique_ptr<Client>> Open(std::shared_ptr<Transport> transport, uint32_t ring,
                                              TimePoint deadline);

  // Closes without waiting for the mediator, if Close was not called.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Ends the ring's epoch and waits until nothing of it is in flight any more.
  // Nothing else may be called afterwards.
  Result<void> Close(TimePoint deadline);

  // ---- the request path ----

  // Is there a free slot for one more request?
  bool CanSubmit() const {
    return !producer_.full() && (stashed_ == 0 || !stash_full_[Slot(producer_.prod())]);
  }

  // Stages a request and returns its index, which names it in Poll and Wait. The next Flush or Wait sends it.
  // Needs CanSubmit(); at most VGPU_SLOT_ARGS arguments.
  uint32_t Submit(uint32_t opcode, uint32_t type, const uint64_t* args, uint32_t n) {
    assert(CanSubmit());
    if (fetched_ < to_fetch_) Memory::PrefetchForWrite(ring_.done(producer_.oldest() + fetched_++));
    return producer_.Stage(opcode, type, args, n);
  }
  uint32_t Submit(uint32_t opcode, uint32_t type, std::initializer_list<uint64_t> args) {
    return Submit(opcode, type, args.begin(), static_cast<uint32_t>(args.size()));
  }
  uint32_t Nop() { return Submit(VGPU_OP_NOP, 0, nullptr, 0); }
  // The answer's data is a + b, wrapping like two's complement.
  uint32_t Add(int32_t a, int32_t b) {
    const uint64_t arg = vgpu_word(static_cast<uint32_t>(a), static_cast<uint32_t>(b));
    return Submit(VGPU_OP_ADD, 0, &arg, 1);
  }
  // c[i] = a[i] + b[i] for `count` elements of VGPU_TYPE_*, at arena offsets; c is a, b,
  // or disjoint from both.
  uint32_t VectorAdd(uint32_t type, uint64_t count, uint64_t a, uint64_t b, uint64_t c) {
    return Submit(VGPU_OP_VECTOR_ADD, type, {count, a, b, c});
  }
  // Writes a vgpu_device_info to the arena.
  uint32_t DeviceInfo(uint64_t offset, uint64_t room) {
    return Submit(VGPU_OP_DEVICE_INFO, 0, {offset, room});
  }

  // Sends everything staged, together; kicks the mediator only if it sleeps.
  void Flush() {
    if (producer_.Publish()) Kick();
  }

  // Takes the answer of a request that was flushed; false while there is none. Each answer is taken once.
  bool Poll(uint32_t idx, Answer* answer) {
    if (producer_.Take(idx, answer)) [[likely]]
      return true;
    return stashed_ != 0 && Unstash(idx, answer);
  }

  // Takes the answers of up to `n` requests in a row, from `first` on, until one has none; returns how many.
  // It is faster than one by one. Once the first answer is there, the lines of the others are fetched side by
  // side, and this side has them already when it writes to them again. It fetches as many as came the last
  // time: to fetch lines that the mediator still works on would take them away from it. If this side has been
  // the slower one of late, the next run is there already. Then one of its lines is fetched with each request
  // that is submitted, and this side need not wait for them.
  uint32_t PollRun(uint32_t first, uint32_t n, Answer* answers) {
    if (n == 0) return 0;
    if (!Poll(first, answers)) {
      if (++looks_in_vain_ >= kLooksAhead) full_runs_ = 0;
      return 0;
    }
    looks_in_vain_ = 0;
    const uint32_t expected = n < last_run_ ? n : last_run_;
    for (uint32_t i = fetched_ > 1 ? fetched_ : 1; i < expected; ++i)
      Memory::PrefetchForWrite(ring_.done(first + i));
    uint32_t taken = 1;
    if (first + taken == producer_.oldest()) taken += producer_.TakeOldest(n - taken, answers + taken);
    while (taken < n && Poll(first + taken, answers + taken)) ++taken;
    last_run_ = taken;
    full_runs_ = taken == n ? full_runs_ + 1 : 0;
    to_fetch_ = full_runs_ >= kFullRunsBehind && n <= producer_.prod() - first - taken ? n : 0;
    fetched_ = 0;
    return taken;
  }

  // Takes the answer of any request that has one. Answers tend to come in the order of the requests.
  bool PollAny(uint32_t* idx, Answer* answer);

  // Flushes, then waits for the answer: spins while that is likely to be cheaper than to sleep, then sleeps.
  // The answer may carry a code of refusal (Refused). An error means that there is no answer. After
  // VGPU_ERR_TIMEOUT and VGPU_ERR_UNAVAILABLE the request is still outstanding and can be waited for again;
  // after any other, the ring is lost to this client. If `stop` is set, the wait ends with VGPU_ERR_CANCELLED
  // within a tenth of a second; then, too, the request can be waited for again.
  Result<Answer> Wait(uint32_t idx, TimePoint deadline, const std::atomic<bool>* stop = nullptr) {
    Flush();
    Answer answer;
    for (uint32_t look = 0; look < kFreeLooks; ++look) {
      if (Poll(idx, &answer)) return answer;
      Relax();
    }
    return WaitLong(idx, deadline, stop);
  }

  // Call it between two polls of a polling loop of your own.
  void Relax() const {
    if (relax_) CpuRelax();
  }

  uint32_t entries() const { return ring_.entries(); }

  // For benchmarks that drive the ring themselves; do not mix with Wait.
  ring::Producer<Memory>& producer() { return producer_; }
  const ring::RingRef<Memory>& ring() const { return ring_; }
  uint32_t ring_idx() const { return ring_idx_; }

  // ---- off the request path ----

  // A buffer in the arena, aligned to a cache line; not cleared.
  Result<Buffer> Allocate(uint64_t bytes);
  uint64_t arena_bytes() const { return arena_bytes_; }
  // The largest buffer that Allocate can give now.
  uint64_t arena_largest() const { return arena_.largest(); }
  char* arena_data() const { return arena_data_; }

  // Asks the mediator what it runs on.
  Result<vgpu_device_info> Info(TimePoint deadline);

  // How often this client went to sleep in Wait, and how often it kicked.
  uint64_t sleeps() const { return sleeps_; }
  uint64_t kicks() const { return kicks_; }

  Transport& transport() const { return *transport_; }

 private:
  // Polls before the clock is read for the first time: a few microseconds.
  static constexpr uint32_t kFreeLooks = 64;
  // After so many full runs in a row, with fewer than so many polls in vain between them, the mediator is at
  // least one more run ahead.
  static constexpr uint32_t kFullRunsBehind = 4;
  static constexpr uint32_t kLooksAhead = 32;

  Client(std::shared_ptr<Transport> transport, uint32_t ring_idx, ring::RingRef<Memory> ring, uint32_t epoch);

  uint32_t Slot(uint32_t idx) const { return idx & ring_.mask(); }
  void Kick();
  bool Outstanding(uint32_t idx) const;
  void StashAnswers();
  bool Unstash(uint32_t idx, Answer* answer);
  bool SpinFor(uint32_t idx, TimePoint until, Answer* answer);
  Result<Answer> WaitLong(uint32_t idx, TimePoint deadline, const std::atomic<bool>* stop);
  Result<void> Rest(const PolledWait& polled_wait, TimePoint deadline);
  Result<void> CheckRing() const;
  Error NoAnswer(TimePoint begin, TimePoint now) const;

  ring::Producer<Memory> producer_;
  uint32_t ring_idx_;
  bool relax_;
  uint32_t last_run_ = 0;       // how many answers PollRun took the last time
  uint32_t full_runs_ = 0;      // in a row
  uint32_t looks_in_vain_ = 0;  // in a row
  uint32_t to_fetch_ = 0;       // lines of the next run, while requests are submitted
  uint32_t fetched_ = 0;        // of these
  // Answers that a wait for another request took from the ring, by slot: a call comes only for an answer that
  // is new.
  uint32_t stashed_ = 0;
  std::vector<uint8_t> stash_full_;
  struct Stashed {
    uint32_t idx;
    Answer answer;
  };
  std::vector<Stashed> stash_;

  std::shared_ptr<Transport> transport_;
  ring::RingRef<Memory> ring_;
  SpinPolicy spin_;
  Arena arena_;
  char* arena_data_;
  uint64_t arena_bytes_;
  uint64_t sleeps_ = 0;
  uint64_t kicks_ = 0;
  bool closed_ = false;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_CLIENT_H_
