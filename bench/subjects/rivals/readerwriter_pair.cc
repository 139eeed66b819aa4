// SPDX-License-Identifier: Apache-2.0
// ReaderWriterQueue takes its blocks from std::malloc when it is made, and never later if only try_enqueue is
// used. Two processes can share it if these blocks lie in memory that both have at the same address. So its
// header is compiled with malloc and free replaced by an arena that is mapped, shared, before the fork.
#define NDEBUG  // the rival as it is shipped, without its own checks
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <utility>

namespace {

constexpr size_t kArenaBytes = 16 << 20;
constexpr size_t kAlignment = 128;

char* Arena() {
  static char* const arena = [] {
    void* memory =
        mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
  }();
  return arena;
}

size_t arena_used = 0;

}  // namespace

namespace std {  // the header says std::malloc

// Nothing is given back: a queue makes one block of 10 to 140 KiB, and a run a few dozen queues.
inline void* vgpu_arena_malloc(size_t bytes) {
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (Arena() == nullptr || kArenaBytes - arena_used < rounded) return nullptr;
  return Arena() + std::exchange(arena_used, arena_used + rounded);
}
inline void vgpu_arena_free(void*) {}

}  // namespace std

#define malloc vgpu_arena_malloc
#define free vgpu_arena_free
#include <readerwriterqueue/readerwriterqueue.h>
#undef malloc
#undef free

#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

template <size_t kRoom>
class ReaderWriterQueue {
 public:
  static constexpr const char* kName = "readerwriterqueue";

  size_t Push(const Message* messages, size_t n) {
    size_t done = 0;
    while (done < n && queue_.try_enqueue(messages[done])) ++done;
    return done;
  }
  size_t Pop(Message* messages, size_t n) {
    size_t done = 0;
    while (done < n && queue_.try_dequeue(messages[done])) ++done;
    return done;
  }

 private:
  // A block of its own power of two: all that can be outstanding lies in one block.
  moodycamel::ReaderWriterQueue<Message, kRoom> queue_{kRoom - 1};
};

template <size_t kRoom>
using ReaderWriterQueues = TwoQueues<ReaderWriterQueue<kRoom>>;

}  // namespace

std::unique_ptr<Contestant> MakeReaderWriterPair(const PairPlan& plan) {
  return MakeExchange<ReaderWriterQueues>(plan);
}

}  // namespace vgpu::bench
