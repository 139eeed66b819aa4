// SPDX-License-Identifier: Apache-2.0
// The consumer, the epoch handshake and a restart on a ring whose guest changes any word before any of the
// mediator's reads, knowing all that the mediator knows. Whatever it does: each word is read at most once a
// call, private copies hold what was read, no slot is served twice at once, and the mediator writes its own
// words only.
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "api/vector.h"
#include "ring/abi.h"
#include "ring/consumer.h"
#include "ring/epoch.h"
#include "ring/memory.h"
#include "ring/ring_ref.h"
#include "tests/fuzz/input.h"

namespace vgpu::ring {
namespace {

using fuzz::Input;

constexpr uint32_t kMaxEntriesLog2 = 4;

// Every load may see something else.
struct HostileMemory {
  using Word = uint64_t;
  static uint64_t LoadRelaxed(const Word* word) { return Load(word); }
  static uint64_t LoadAcquire(const Word* word) { return Load(word); }
  static void StoreRelaxed(Word* word, uint64_t value) { Store(word, value); }
  static void StoreRelease(Word* word, uint64_t value) { Store(word, value); }
  template <Fence>
  static void FullFence() {}

 private:
  static uint64_t Load(const Word* word);
  static void Store(Word* word, uint64_t value);
};

// Both sides of the shared memory. One at a time: the policy below has no state of its own.
class HostileRing {
 public:
  HostileRing(Input* input, uint32_t entries_log2) : input_(*input) {
    ref = {&epoch_req, &call_event, &epoch_ack, &kick_event, slots.data(), entries_log2};
    current = this;
  }

  uint64_t Load(const uint64_t* word) {
    Scribble(const_cast<uint64_t*>(word));
    FUZZ_CHECK(loaded.emplace(word, *word).second);
    return *word;
  }
  void Store(uint64_t* word, uint64_t value) {
    FUZZ_CHECK(may_write.contains(word));
    *word = value;
    if (input_.Take<uint8_t>() % 8 == 0) Scribble(word);
  }

  // A call of the mediator begins, which may write these words.
  void Begin(std::set<const uint64_t*> words = {}) {
    loaded.clear();
    may_write = std::move(words);
  }

  static inline HostileRing* current = nullptr;
  RingRef<HostileMemory> ref;
  std::map<const uint64_t*, uint64_t> loaded;  // in this call
  std::set<const uint64_t*> may_write;
  // What the mediator knows and the guest has guessed.
  uint32_t epoch = 0;
  uint32_t cons = 0;
  uint32_t completed = 0;

 private:
  void Scribble(uint64_t* word);

  Input& input_;
  uint64_t epoch_req = 0, call_event = 0, epoch_ack = 0, kick_event = 0;
  std::array<uint64_t, kSlotWords << kMaxEntriesLog2> slots{};
};

uint64_t HostileMemory::Load(const Word* word) { return HostileRing::current->Load(word); }
void HostileMemory::Store(Word* word, uint64_t value) { HostileRing::current->Store(word, value); }

void HostileRing::Scribble(uint64_t* word) {
  switch (input_.Take<uint8_t>() % 8) {
    case 0: *word = input_.Take<uint64_t>(); break;
    case 1:
      *word = vgpu_submit_word(input_.Take<uint8_t>(), 0, ref.tag(epoch, cons));  // the next request
      break;
    case 2:  // a request or an answer of an index nearby
      *word = vgpu_submit_word(VGPU_OP_ADD, 0, ref.tag(epoch, cons - input_.Take<uint8_t>() % 32));
      break;
    case 3:
      *word = vgpu_word(completed - input_.Take<uint8_t>() % 4, epoch);  // a sleeper
      break;
    case 4: *word = ~*word; break;
    default: break;  // as it was
  }
}

// The mediator of one ring, with the rule that the template leaves to its caller.
class Mediator {
 public:
  Mediator(Input* input, uint32_t entries_log2)
      : input_(*input), ring_(input, entries_log2), busy_(ring_.ref.entries()) {
    Open(vgpu_epoch_next(input->Take<uint32_t>()), input->Take<uint32_t>());
  }

  // False: the guest lied, and its session is over.
  bool Step() {
    switch (input_.Take<uint8_t>() % 8) {
      case 0:
      case 1:
      case 2: return Take();
      case 3: Complete(); return true;
      case 4: NeedCall(); return true;
      case 5: ArmKick(); return true;
      case 6: CheckEpoch(); return true;
      default: Restart(); return true;
    }
  }

 private:
  struct Request {
    uint32_t idx;
    SlotCopy copy;
    std::map<const uint64_t*, uint64_t> read;
  };

  void Open(uint32_t epoch, uint32_t first_idx) {
    consumer_ = Consumer<HostileMemory>(ring_.ref, epoch, first_idx);
    Tell();
  }

  void Tell() {
    ring_.epoch = consumer_.epoch();
    ring_.cons = consumer_.cons();
    ring_.completed = consumer_.completed();
    FUZZ_CHECK(in_flight_.size() <= ring_.ref.entries());
    for (const Request& request : in_flight_) CheckCopy(request);
  }

  // The copy is what was read, once, and nobody has changed it since.
  void CheckCopy(const Request& request) {
    const auto& ref = ring_.ref;
    FUZZ_CHECK(request.read.size() == kSlotWords - 1);  // all but `done`
    FUZZ_CHECK(request.read.at(ref.submit(request.idx)) == request.copy.submit);
    FUZZ_CHECK(vgpu_submit_tag(request.copy.submit) == ref.tag(consumer_.epoch(), request.idx));
    for (uint32_t i = 0; i < VGPU_SLOT_ARGS; ++i) {
      FUZZ_CHECK(request.read.at(ref.arg(request.idx, i)) == request.copy.arg[i]);
    }
  }

  bool Take() {
    const uint32_t idx = consumer_.cons();
    ring_.Begin();
    SlotCopy copy;
    if (!consumer_.Take(&copy)) {
      FUZZ_CHECK(consumer_.cons() == idx && ring_.loaded.size() == 1);
      return true;
    }
    FUZZ_CHECK(consumer_.cons() == idx + 1);
    if (busy_[idx & ring_.ref.mask()]) return false;
    Add({idx, copy, ring_.loaded});
    Tell();
    return true;
  }

  void Add(Request request) {
    FUZZ_CHECK(!busy_[request.idx & ring_.ref.mask()]);
    busy_[request.idx & ring_.ref.mask()] = true;
    in_flight_.push_back(std::move(request));
  }

  void Complete() {
    if (in_flight_.empty()) return;
    const auto it =
        in_flight_.begin() + static_cast<std::ptrdiff_t>(input_.Take<uint8_t>() % in_flight_.size());
    const uint32_t completed = consumer_.completed();
    ring_.Begin({ring_.ref.done(it->idx)});
    consumer_.Complete(it->idx, {input_.Take<uint8_t>(), input_.Take<uint32_t>()});
    FUZZ_CHECK(ring_.loaded.empty() && consumer_.completed() == completed + 1);
    busy_[it->idx & ring_.ref.mask()] = false;
    in_flight_.erase(it);
    Tell();
  }

  void NeedCall() {
    ring_.Begin();
    consumer_.NeedCall();
    FUZZ_CHECK(ring_.loaded.size() <= 1);
    ring_.Begin();
    FUZZ_CHECK(!consumer_.NeedCall());  // nothing new: the guest cannot ask for more
    FUZZ_CHECK(ring_.loaded.empty());
  }

  void ArmKick() {
    ring_.Begin({ring_.ref.kick_event});
    consumer_.ArmKick();
    FUZZ_CHECK(ring_.loaded.size() == 1);
    ring_.Begin({ring_.ref.kick_event});
    consumer_.DisarmKick();
    FUZZ_CHECK(ring_.loaded.empty());
  }

  void CheckEpoch() {
    ring_.Begin();
    const uint64_t asked = RequestedEpoch(ring_.ref);
    FUZZ_CHECK(ring_.loaded.size() == 1);
    const uint32_t epoch = vgpu_word_seq(asked);
    if (epoch == consumer_.epoch() || (epoch & 0xffu) == 0) return;
    std::set<const uint64_t*> own = {ring_.ref.kick_event, ring_.ref.epoch_ack};
    for (uint32_t i = 0; i < ring_.ref.entries(); ++i) own.insert({ring_.ref.submit(i), ring_.ref.done(i)});
    ring_.Begin(own);
    AnswerEpoch(ring_.ref, epoch,
                vgpu_word_data(asked) == VGPU_EPOCH_OPEN ? VGPU_EPOCH_OPEN : VGPU_EPOCH_CLOSED);
    FUZZ_CHECK(ring_.loaded.empty());
    in_flight_.clear();
    busy_.assign(busy_.size(), false);
    Open(epoch, 0);
  }

  // A new process, which knows the journal only.
  void Restart() {
    in_flight_.clear();
    busy_.assign(busy_.size(), false);
    const uint32_t cons = consumer_.cons();
    const uint32_t epoch = consumer_.epoch();
    for (uint32_t idx = cons - ring_.ref.entries(); idx != cons; ++idx) {
      ring_.Begin();
      if (consumer_.HasAnswer(idx)) continue;
      ring_.Begin();
      SlotCopy copy;
      if (consumer_.Peek(idx, &copy)) Add({idx, copy, ring_.loaded});
    }
    const auto unanswered = static_cast<uint32_t>(in_flight_.size());
    consumer_ = Consumer<HostileMemory>(ring_.ref, epoch, cons, cons - unanswered);
    Tell();
  }

  Input& input_;
  HostileRing ring_;
  Consumer<HostileMemory> consumer_;
  std::vector<bool> busy_;  // by slot: taken, not answered
  std::vector<Request> in_flight_;
};

}  // namespace
}  // namespace vgpu::ring

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vgpu::fuzz::Input input(data, size);
  const uint32_t entries_log2 = 1 + input.Take<uint8_t>() % vgpu::ring::kMaxEntriesLog2;
  vgpu::ring::Mediator mediator(&input, entries_log2);
  while (!input.ended() && mediator.Step()) {}
  return 0;
}
