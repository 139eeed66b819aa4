// SPDX-License-Identifier: Apache-2.0
#include "gpu/fake/cuda_stream.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace vgpu::gpu {

// All of it with the lock held.
struct CUstream_st {
  struct Item {
    uint64_t serial;
    fake::Work work;
  };

  explicit CUstream_st(CuContext owner) : context(owner) {}

  const CuContext context;
  std::deque<Item> items;
  uint64_t enqueued = 0;
  uint64_t ended = 0;
  bool destroyed = false;
  std::condition_variable filled;  // or destroyed
};

namespace fake {
namespace {

using Lock = std::unique_lock<std::mutex>;

constexpr int kLeastUrgent = 0;
constexpr int kMostUrgent = -5;

// Never destroyed: threads of streams outlive main.
struct State {
  std::mutex mutex;
  std::condition_variable changed;  // something has ended, or a context is broken
  uint64_t next_serial = 0;
  std::set<uint64_t> unended;  // of the items of all streams
};
State& state() {
  static auto* const state = new State;
  return *state;
}

template <class Condition>
void Wait(Lock* lock, CuContext context, Condition condition) {
  state().changed.wait(*lock, [&] { return context->broken() || condition(); });
}

CuResult UsableLocked(Lock* lock, CuContext context) {
  if (context == nullptr) return kInvalidContext;
  if (!context->broken()) return kCuSuccess;
  state().changed.wait(*lock, [&] { return context->running == 0; });
  return context->error;
}

// In a broken context nothing runs.
void Run(Lock* lock, CuContext context, const Work& work) {
  if (context->broken()) return;
  ++context->running;
  lock->unlock();
  const CuResult result = work(context);
  lock->lock();
  --context->running;
  if (result != kCuSuccess && !context->broken()) context->error = result;
}

// The thread of a stream: until that is destroyed and empty.
void Serve(CuStream stream) {
  Lock lock(state().mutex);
  for (;;) {
    stream->filled.wait(lock, [&] { return !stream->items.empty() || stream->destroyed; });
    if (stream->items.empty()) break;
    const CUstream_st::Item item = std::move(stream->items.front());
    stream->items.pop_front();
    Run(&lock, stream->context, item.work);
    ++stream->ended;
    state().unended.erase(item.serial);
    state().changed.notify_all();
  }
  lock.unlock();
  delete stream;
}

CuContext ContextOf(CuStream stream) { return stream == nullptr ? Current() : stream->context; }

CuStream Make(CuContext context) {
  auto* const stream = new CUstream_st(context);
  std::thread(Serve, stream).detach();
  return stream;
}

// With the lock held.
CuStream Resolve(CuStream stream) {
  if (stream != nullptr) return stream;
  CuStream& null_stream = Current()->null_stream;
  if (null_stream == nullptr) null_stream = Make(Current());
  return null_stream;
}

}  // namespace

CuResult Usable() {
  Lock lock(state().mutex);
  return UsableLocked(&lock, Current());
}

CuResult Enqueue(CuStream stream, Work work) {
  Lock lock(state().mutex);
  if (const CuResult usable = UsableLocked(&lock, Current()); usable != kCuSuccess) return usable;
  stream = Resolve(stream);
  if (stream->context != Current()) return kInvalidHandle;
  const uint64_t serial = state().next_serial++;
  stream->items.push_back({serial, std::move(work)});
  ++stream->enqueued;
  state().unended.insert(serial);
  stream->filled.notify_one();
  return kCuSuccess;
}

CuResult WaitForAll() {
  Lock lock(state().mutex);
  if (const CuResult usable = UsableLocked(&lock, Current()); usable != kCuSuccess) return usable;
  const auto& unended = state().unended;
  Wait(&lock, Current(),
       [&, end = state().next_serial] { return unended.empty() || *unended.begin() >= end; });
  return UsableLocked(&lock, Current());
}

void Idle(CuContext context, std::chrono::nanoseconds time) {
  Lock lock(state().mutex);
  state().changed.wait_for(lock, time, [&] { return context->broken(); });
}

void IdleForEver(CuContext context) {
  Lock lock(state().mutex);
  state().changed.wait(lock, [&] { return context->broken(); });
}

CuResult CtxSynchronize() { return WaitForAll(); }

CuResult CtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = kLeastUrgent;
  *greatest = kMostUrgent;
  return Usable();
}

CuResult StreamCreateWithPriority(CuStream* stream, unsigned, int) {
  if (const CuResult usable = Usable(); usable != kCuSuccess) return usable;
  *stream = Make(Current());
  return kCuSuccess;
}

// What is in it still runs.
CuResult StreamDestroy(CuStream stream) {
  if (stream == nullptr) return kInvalidHandle;
  Lock lock(state().mutex);
  const CuResult usable = UsableLocked(&lock, ContextOf(stream));
  stream->destroyed = true;
  stream->filled.notify_one();
  return usable;
}

CuResult StreamSynchronize(CuStream stream) {
  Lock lock(state().mutex);
  if (const CuResult usable = UsableLocked(&lock, ContextOf(stream)); usable != kCuSuccess) return usable;
  stream = Resolve(stream);
  Wait(&lock, stream->context, [&, end = stream->enqueued] { return stream->ended >= end; });
  return UsableLocked(&lock, ContextOf(stream));
}

CuResult StreamQuery(CuStream stream) {
  Lock lock(state().mutex);
  if (const CuResult usable = UsableLocked(&lock, ContextOf(stream)); usable != kCuSuccess) return usable;
  stream = Resolve(stream);
  return stream->ended == stream->enqueued ? kCuSuccess : kCuNotReady;
}

}  // namespace fake
}  // namespace vgpu::gpu
