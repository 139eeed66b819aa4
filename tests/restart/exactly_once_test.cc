// SPDX-License-Identifier: Apache-2.0
// SIGKILL at random moments under full rings: every request is answered once, none is lost, none is run
// twice, and whoever sleeps is called. One VM keeps three rings busy: 256 additions, vectors to which another
// is added again and again (twice would show), vectors elsewhere; another VM asks for one addition at a time
// and sleeps without any time-out that could hide a lost call.
//
// VGPU_TEST_SEED repeats the choices; the moments depend on the machine. VGPU_FULL (tools/test --full): the
// long run, too.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"

namespace vgpu::test {
namespace {

constexpr uint32_t kEntries = 256;
enum BusyRing : uint32_t { kAdds, kInPlace, kElsewhere, kBusyRings };

// What all guests did, and whether to go on.
struct Run {
  std::string socket;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> additions{0}, in_place{0}, elsewhere{0}, asleep{0}, interrupted{0}, attaches{0};
  bool over() const { return stop || testing::Test::HasFailure(); }
};

// After the mediator's death: the next one, as soon as it is there.
void AttachAgain(Run* run, Owner* owner) {
  EXPECT_TRUE(Eventually([&] { return owner->Attach(run->socket).has_value(); })) << "no mediator";
  ++run->attaches;
}

// A vector to which another is added again and again, and what it must hold by now.
class Sum {
 public:
  Sum(char* arena, uint64_t* off, uint64_t count, uint32_t step)
      : count_(count),
        step_(step),
        sum_off_(*off),
        step_off_(*off + Room(count)),
        sum_(reinterpret_cast<uint32_t*>(arena + sum_off_)) {
    *off += 2 * Room(count);
    std::fill_n(reinterpret_cast<uint32_t*>(arena + step_off_), count, step);
    Fill();
  }
  std::optional<uint32_t> idx;  // of the request under way

  std::array<uint64_t, 4> request() const { return {count_, sum_off_, step_off_, sum_off_}; }

  void Check(ring::Answer answer, Run* run) {
    const bool interrupted = answer.code == VGPU_ERR_INTERRUPTED;
    EXPECT_TRUE(interrupted || answer.code == VGPU_OK) << "code " << answer.code;
    if (!interrupted) value_ += step_;
    for (uint64_t i = 0; i < count_; ++i) {
      const uint32_t is = sum_[i] - static_cast<uint32_t>(i);
      const bool right = is == value_ || (interrupted && is == value_ + step_);
      if (right) continue;
      ADD_FAILURE() << "element " << i << " of " << count_ << " is " << is << ", not " << value_
                    << (is == value_ + step_ ? ": added twice" : "") << ", code " << answer.code;
      return;
    }
    ++(interrupted ? run->interrupted : run->in_place);
    if (interrupted) Fill();
  }

 private:
  static uint64_t Room(uint64_t count) { return (count * sizeof(uint32_t) + 63) / 64 * 64; }
  void Fill() {
    for (uint64_t i = 0; i < count_; ++i) sum_[i] = value_ + static_cast<uint32_t>(i);
  }

  const uint64_t count_;
  const uint32_t step_;
  const uint64_t sum_off_;
  const uint64_t step_off_;
  uint32_t* const sum_;
  uint32_t value_ = 0;  // of element 0; element i holds i more
};

class BusyVm {
 public:
  BusyVm(Run* run, uint64_t seed) : run_(run), random_(seed) {
    AttachAgain(run, &owner_);
    for (uint32_t q = 0; q < kBusyRings; ++q) {
      guests_.push_back(std::make_unique<Guest>(&owner_, q));
      guests_.back()->Open();
    }
    uint64_t off = 0;
    uint32_t step = 0;
    for (const uint64_t count : {256, 1000, 40'000, 150'000}) {
      sums_.emplace_back(owner_.arena(kInPlace), &off, count, ++step);
    }
    auto* word = reinterpret_cast<uint32_t*>(owner_.arena(kElsewhere));
    for (uint32_t i = 0; i < kCount; ++i) word[i] = 3 * i, word[kCount + i] = 5 * i;
  }

  // Until it is told to stop, and everything that was asked is answered.
  void Live() {
    while (!testing::Test::HasFailure()) {
      bool some = DoAdditions();
      some |= DoSums();
      some |= DoElsewhere();
      if (some) continue;
      const bool idle = std::all_of(guests_.begin(), guests_.end(),
                                    [](const auto& guest) { return guest->producer().outstanding() == 0; });
      if (idle && run_->over()) return;
      Sleep();
    }
  }

 private:
  static constexpr uint32_t kCount = 60'000;
  using Producer = ring::Producer<ring::RealMemory>;
  Producer& producer(uint32_t q) { return guests_[q]->producer(); }

  bool DoAdditions() {
    Producer& producer = this->producer(kAdds);
    ring::Answer answer;
    bool some = false;
    for (; producer.outstanding() != 0 && producer.Take(producer.oldest(), &answer); some = true) {
      const uint32_t idx = producer.oldest() - 1;
      EXPECT_EQ(answer.code, VGPU_OK) << "addition " << idx;
      EXPECT_EQ(answer.data, expected_[idx % kEntries]) << "addition " << idx;
      ++run_->additions;
    }
    const uint32_t depth = run_->over() ? 0 : 1 + static_cast<uint32_t>(random_() % kEntries);
    while (producer.outstanding() < depth) {
      const auto a = static_cast<uint32_t>(random_()), b = static_cast<uint32_t>(random_());
      expected_[guests_[kAdds]->Add(static_cast<int32_t>(a), static_cast<int32_t>(b)) % kEntries] = a + b;
      some = true;
    }
    guests_[kAdds]->Flush();
    return some;
  }

  bool DoSums() {
    bool some = false;
    ring::Answer answer;
    for (Sum& sum : sums_) {
      if (sum.idx && !producer(kInPlace).Take(*sum.idx, &answer)) continue;
      if (sum.idx) sum.Check(answer, run_);
      some |= sum.idx.has_value();
      sum.idx.reset();
      if (run_->over()) continue;
      sum.idx = producer(kInPlace).Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, sum.request().data(), 4);
      some = true;
    }
    guests_[kInPlace]->Flush();
    return some;
  }

  bool DoElsewhere() {
    ring::Answer answer;
    auto* result = reinterpret_cast<uint32_t*>(owner_.arena(kElsewhere)) + 2 * kCount;
    if (elsewhere_ && !producer(kElsewhere).Take(*elsewhere_, &answer)) return false;
    if (elsewhere_) {
      EXPECT_EQ(answer.code, VGPU_OK);
      for (uint32_t i = 0; i < kCount; ++i) {
        if (result[i] == 8 * i) continue;
        ADD_FAILURE() << "element " << i << " is " << result[i];
        break;
      }
      ++run_->elsewhere;
    }
    const bool some = elsewhere_.has_value();
    elsewhere_.reset();
    if (run_->over()) return some;
    std::memset(result, 0, kCount * sizeof *result);
    constexpr uint64_t kBytes = kCount * sizeof(uint32_t);
    elsewhere_ =
        guests_[kElsewhere]->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, kBytes, 2 * kBytes});
    guests_[kElsewhere]->Flush();
    return true;
  }

  // Until a ring is called or the link is lost; nothing else wakes it. A mediator that is killed may leave
  // answers behind a request that has none, since it writes the last one first: then there is no sleep, but
  // the link is lost all the same.
  void Sleep() {
    bool nothing = true;
    for (const auto& guest : guests_) nothing &= guest->producer().ArmCall();
    AwaitCall(nothing ? kPatience : std::chrono::seconds(0));
    for (const auto& guest : guests_) guest->producer().DisarmCall();
  }

  void AwaitCall(std::chrono::milliseconds patience) {
    std::vector<pollfd> watched;
    for (uint32_t q = 0; q < kBusyRings; ++q) watched.push_back({owner_.doorbells(q).call.get(), POLLIN, 0});
    watched.push_back({owner_.peer().fd(), POLLRDHUP, 0});
    const int ready = poll(watched.data(), watched.size(), static_cast<int>(patience.count()));
    if (ready == 0 && patience.count() != 0) ADD_FAILURE() << "a lost call";
    if (watched.back().revents != 0) AttachAgain(run_, &owner_);
    for (uint32_t q = 0; q < kBusyRings; ++q) {
      uint64_t count;
      if (watched[q].revents != 0) [[maybe_unused]]
        const ssize_t got = read(watched[q].fd, &count, sizeof count);
    }
  }

  Run* const run_;
  std::mt19937_64 random_;
  Owner owner_{{.vm_id = 1, .rings = kBusyRings, .entries = kEntries, .region_bytes = 32 << 20}};
  std::vector<std::unique_ptr<Guest>> guests_;
  std::array<uint32_t, kEntries> expected_{};
  std::vector<Sum> sums_;
  std::optional<uint32_t> elsewhere_;
};

// One addition at a time, asleep until it is called.
void LiveAsleep(Run* run) {
  Owner owner({.vm_id = 2, .priority = 2});
  AttachAgain(run, &owner);
  Guest guest(&owner, 0);
  guest.Open();
  for (int32_t i = 0; !run->over(); i = (i + 1) % 1'000'000) {
    const uint32_t idx = guest.Add(i, 1);
    guest.Flush();
    ring::Answer answer{};
    Outcome outcome;
    while ((outcome = guest.Await(idx, &answer)) == Outcome::kLinkLost) AttachAgain(run, &owner);
    EXPECT_EQ(outcome, Outcome::kDone) << "a lost call";
    EXPECT_EQ(answer.code, VGPU_OK);
    EXPECT_EQ(answer.data, static_cast<uint32_t>(i + 1));
    ++run->asleep;
  }
}

unsigned long long Number(uint64_t number) { return number; }

// At least so many kills, with so much done in between.
void KillUnderLoad(uint64_t kills_min, uint64_t additions_min, std::chrono::microseconds longest_life) {
  std::mt19937_64 random(TestSeed());
  const TempFolder folder;
  const DaemonOptions options{.socket = folder / "socket",
                              .flags = {"--backend", "cpu", "--log-level", "error"},
                              .log = folder / "log"};
  auto daemon = std::make_unique<Daemon>(options);
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  Run run;
  run.socket = options.socket;
  BusyVm vm(&run, random());
  std::thread busy([&] { vm.Live(); });
  std::thread asleep([&] { LiveAsleep(&run); });
  EXPECT_TRUE(Eventually([&] { return run.asleep > 0 && run.in_place > 0 && run.elsewhere > 0; }));
  uint64_t kills = 0;
  for (; (kills < kills_min || run.additions < additions_min) && !run.over(); ++kills) {
    // From "still attaching" to "well under way".
    std::this_thread::sleep_for(
        std::chrono::microseconds(random() % static_cast<uint64_t>(longest_life.count())));
    EXPECT_TRUE(daemon->Running()) << "it ended by itself:\n" << daemon->Log();
    daemon->Kill();
    daemon = std::make_unique<Daemon>(options);
    EXPECT_TRUE(kills % 2 != 0 || daemon->Serving()) << daemon->Log();  // or killed while it starts
  }
  run.stop = true;
  busy.join();
  asleep.join();
  std::printf("%llu kills, %llu attaches, %llu additions, %llu of them asleep; ", Number(kills),
              Number(run.attaches), Number(run.additions + run.asleep), Number(run.asleep));
  std::printf("vectors: %llu in place, %llu elsewhere, %llu interrupted\n", Number(run.in_place),
              Number(run.elsewhere), Number(run.interrupted));
  EXPECT_GT(run.attaches, kills / 4)
      << "hardly any mediator lived until it was attached to: this proves little";
  // A kill interrupts at most the one request that the ring of sums has started.
  EXPECT_LE(run.interrupted, kills);
}

TEST(ExactlyOnceTest, HundredFiftyKills_NothingLostNothingTwice) {
  KillUnderLoad(150, 0, std::chrono::milliseconds(60));
}

TEST(ExactlyOnceTest, ThousandKillsAndHundredMillionAdditions_NothingLostNothingTwice) {
  if (std::getenv("VGPU_FULL") == nullptr) GTEST_SKIP() << "takes minutes: tools/test --full runs it";
  KillUnderLoad(1000, 110'000'000, std::chrono::milliseconds(400));
}

}  // namespace
}  // namespace vgpu::test
