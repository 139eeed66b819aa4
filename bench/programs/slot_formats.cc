// SPDX-License-Identifier: Apache-2.0
// Which layout of a slot is fastest? The candidates of docs/adr/0003-slot-format.md, bare (no decode, no
// scheduling), in interleaved rounds between two processes. Ratios are against the layout that ships.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstdlib>

#include "bench/lib/contest.h"
#include "bench/lib/process.h"
#include "bench/lib/rival_server.h"
#include "bench/lib/shared_memory.h"
#include "bench/lib/stats.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kEntries = 64;

// How the client tells the server what is new.
enum class Publication : uint8_t {
  kEachSlot,   // every slot's own word, in order
  kHeldFirst,  // every slot's own word, the first one of a batch last: the batch appears at once
  kIndex,      // a published index on a line of its own
};

struct Layout {
  const char* name;
  size_t stride;    // bytes from slot to slot
  size_t done_off;  // bytes from the request's word to the response's word
  Publication publication;
};

constexpr Layout kLayouts[] = {
    {"one line, batch appears at once (ships)", 64, 56, Publication::kHeldFirst},
    {"one line, slot by slot", 64, 56, Publication::kEachSlot},
    {"one line, published index", 64, 56, Publication::kIndex},
    {"half a line (two slots share one)", 32, 24, Publication::kHeldFirst},
    {"two lines, batch appears at once", 128, 64, Publication::kHeldFirst},
    {"two lines apart, batch appears at once", 256, 128, Publication::kHeldFirst},
};

struct Memory {
  alignas(128) std::atomic<uint64_t> prod{0};
  alignas(128) std::atomic<uint64_t> never{0};  // what a sleeping peer would have written
  alignas(4096) std::array<char, kEntries * 256> slots{};
};

class Ring {
 public:
  Ring(Memory* memory, const Layout& layout) : memory_(memory), layout_(layout) {}

  std::atomic<uint64_t>& submit(uint64_t i) const { return Word(i, 0); }
  std::atomic<uint64_t>& arg(uint64_t i) const { return Word(i, 8); }
  std::atomic<uint64_t>& done(uint64_t i) const { return Word(i, layout_.done_off); }
  static uint64_t Tag(uint64_t i) { return i / kEntries + 1; }

  // The requests from `next` on that are there, at most `max`.
  uint64_t Ready(uint64_t next, uint64_t max) const {
    if (layout_.publication == Publication::kIndex) {
      return std::min(max, memory_->prod.load(std::memory_order_acquire) - next);
    }
    uint64_t n = 0;
    while (n < max && submit(next + n).load(std::memory_order_acquire) == Tag(next + n)) ++n;
    return n;
  }

  void Publish(uint64_t begin, uint64_t end) const {
    const bool held = layout_.publication == Publication::kHeldFirst;
    for (uint64_t i = begin + (held ? 1 : 0); i < end; ++i)
      submit(i).store(Tag(i), std::memory_order_release);
    if (held) submit(begin).store(Tag(begin), std::memory_order_release);
    if (layout_.publication == Publication::kIndex) memory_->prod.store(end, std::memory_order_release);
  }

 private:
  std::atomic<uint64_t>& Word(uint64_t i, size_t off) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(memory_->slots.data() + i % kEntries * layout_.stride +
                                                     off);
  }

  Memory* const memory_;
  const Layout layout_;
};

class SlotContestant final : public Contestant {
 public:
  SlotContestant(const Layout& layout, uint32_t depth, uint32_t batch)
      : layout_(layout),
        depth_(depth),
        batch_(batch),
        ring_(memory_.get(), layout),
        server_([this](uint64_t count) { Serve(count); }) {}

  std::string name() const override { return layout_.name; }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(kWarmUp + count);
    Stopwatch watch(latency_ns);
    wrong_ = 0;
    Ask(kWarmUp, nullptr);
    watch.Start();
    Ask(count, depth_ == 1 ? &watch : nullptr);
    return {watch.NsSince(count), wrong_};
  }

 private:
  void Ask(uint64_t count, Stopwatch* watch) {
    const uint64_t end = reaped_ + count;
    uint64_t sent = reaped_;
    while (reaped_ != end) {
      const uint64_t room = std::min(end - sent, depth_ - (sent - reaped_));
      const uint64_t n = std::min<uint64_t>(room, batch_);
      if (n == batch_ || (n != 0 && sent + n == end)) {
        if (watch != nullptr) watch->Sent(sent);
        for (uint64_t i = sent; i < sent + n; ++i) {
          const Operands operands = OperandsOf(i);
          ring_.arg(i).store(
              uint64_t{static_cast<uint32_t>(operands.b)} << 32 | static_cast<uint32_t>(operands.a),
              std::memory_order_relaxed);
        }
        ring_.Publish(sent, sent + n);
        // As the product does before it looks at kick_event.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        wrong_ += memory_->never.load(std::memory_order_relaxed);
        sent += n;
      }
      while (reaped_ != sent && Reap()) {
        if (watch != nullptr) watch->Answered(reaped_ - 1);
      }
    }
  }

  bool Reap() {
    const uint64_t done = ring_.done(reaped_).load(std::memory_order_acquire);
    if (done >> 32 != Ring::Tag(reaped_)) return false;
    wrong_ += static_cast<uint32_t>(done) != OperandsOf(reaped_).sum();
    ++reaped_;
    return true;
  }

  // In the other process, which has a copy of this object.
  void Serve(uint64_t count) {
    for (const uint64_t end = reaped_ + count; reaped_ != end;) {
      std::array<uint64_t, 32> args;
      const uint64_t n = ring_.Ready(reaped_, args.size());
      for (uint64_t i = 0; i < n; ++i) args[i] = ring_.arg(reaped_ + i).load(std::memory_order_relaxed);
      for (uint64_t i = 0; i < n; ++i) {
        const uint32_t sum = static_cast<uint32_t>(args[i]) + static_cast<uint32_t>(args[i] >> 32);
        ring_.done(reaped_ + i).store(Ring::Tag(reaped_ + i) << 32 | sum, std::memory_order_release);
      }
      if (n == 0) continue;
      reaped_ += n;
      // As the product does before it looks at call_event.
      std::atomic_thread_fence(std::memory_order_seq_cst);
      wrong_ += memory_->never.load(std::memory_order_relaxed);
    }
  }

  const Layout layout_;
  const uint64_t depth_;
  const uint64_t batch_;
  Shared<Memory> memory_;
  const Ring ring_;
  uint64_t reaped_ = 0;
  uint64_t wrong_ = 0;
  RivalServer server_;
};

bool Compare(const char* title, uint32_t depth, uint32_t batch, uint32_t rounds, uint64_t count) {
  Contestants all;
  for (const Layout& layout : kLayouts) all.push_back(std::make_unique<SlotContestant>(layout, depth, batch));
  all.push_back(MakeRawPingPong(Polling::kEager));
  const std::vector<Series> series = RunContest(all, rounds, count);
  fmt::print("\n{} ({} rounds of {}):\n  {:<42} {:>9} {:>22} {:>6}\n", title, rounds, count, "layout",
             "median ns", "/ the one that ships", "wrong");
  bool right = true;
  for (const Series& one : series) {
    const Spread ratio = SpreadOf(Ratios(one.ns_per_request, series[0].ns_per_request));
    fmt::print("  {:<42} {:>9.1f} {:>8.2f} [{:.2f}, {:.2f}] {:>6}\n", one.name,
               Quantile(one.ns_per_request, 0.5), ratio.median, ratio.q1, ratio.q3, one.wrong);
    right = right && one.wrong == 0;
  }
  fmt::print("  the machine's own drift in this run: {:.2f}x\n", Drift(series.back().ns_per_request));
  return right;
}

}  // namespace
}  // namespace vgpu::bench

int main() {
  using namespace vgpu::bench;
  if (const auto pinned = PinTo(kClientCpu); !pinned) {
    fmt::print(stderr, "{}\n", pinned.error());
    return EXIT_FAILURE;
  }
  bool right = Compare("depth 1: one request and its answer", 1, 1, 60, 10'000);
  right = Compare("depth 64, batches of 32: a request", 64, 32, 60, 40'000) && right;
  return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
