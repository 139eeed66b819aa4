// SPDX-License-Identifier: Apache-2.0
// The mediator dies at every named place while it serves every kind of request, and is started again: each
// request is answered exactly once, with the right result, or with code 12 where it had begun
// and must not be repeated.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "tests/daemon/daemon.h"
#include "tests/daemon/owner.h"
#include "tests/restart/work.h"

namespace vgpu::test {
namespace {

constexpr uint32_t kRequests = 2;  // submitted together

// An owner whose mediator may die at any time; it starts another one and attaches again.
class Survivor {
 public:
  explicit Survivor(const std::string& crash_at) : owner_({.region_bytes = 4 << 20}) {
    Start({"VGPU_CRASH_AT=" + crash_at});
    AttachAgain();
  }

  Owner& owner() { return owner_; }
  uint32_t crashes() const { return crashes_; }
  Daemon& daemon() { return *daemon_; }

  // Repeats `wait`, which says how it ended, over the deaths of mediators.
  template <class Wait>
  void Await(const char* what, Wait wait) {
    for (;;) {
      const Outcome outcome = wait();
      if (outcome == Outcome::kDone) return;
      ASSERT_EQ(outcome, Outcome::kLinkLost) << "a lost wake-up: no " << what;
      AttachAgain();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  void Start(std::vector<std::string> environment) {
    daemon_ = std::make_unique<Daemon>(DaemonOptions{kCrashMediator,
                                                     folder_ / "socket",
                                                     {"--log-level", "error"},
                                                     std::move(environment),
                                                     folder_ / "log"});
  }

  void AttachAgain() {
    while (!daemon_->Serving() || !owner_.Attach(daemon_->socket())) {
      const int status = daemon_->Join();
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
          << "the mediator ended with status " << status << " by itself:\n"
          << daemon_->Log();
      ASSERT_EQ(++crashes_, 1u);
      Start({});
    }
  }

  const TempFolder folder_;
  Owner owner_;
  std::unique_ptr<Daemon> daemon_;
  uint32_t crashes_ = 0;
};

void OpenRing(Survivor* survivor, Guest* guest, bool open) {
  uint32_t state = VGPU_EPOCH_FENCED;
  guest->AskEpoch(open);
  survivor->Await("answer to an epoch", [&] { return guest->AwaitEpoch(&state); });
  ASSERT_EQ(state, open ? VGPU_EPOCH_OPEN : VGPU_EPOCH_CLOSED);
}

// Where the work of `op` lies, and which ring takes it.
struct Bench {
  uint32_t ring;
  char* arena;
  uint64_t stride;
};

Bench BenchOf(Owner* owner, Op op) {
  if (op != Op::kWindow) return {0, owner->arena(0), kWorkBytes};
  char* arena = owner->private_file() + VGPU_WINDOW_RING_OFF + VGPU_WINDOW_ARENA_OFF;
  return {owner->options().rings, arena, 2 * VGPU_WINDOW_BUF_BYTES};
}

// Submits kRequests of a kind, awaits and checks their answers. Returns how many were answered 12.
uint32_t RunRequests(Survivor* survivor, Guest* guest, Op op) {
  const Bench bench = BenchOf(&survivor->owner(), op);
  std::vector<Work> works;
  const uint32_t first = guest->producer().prod();
  for (uint32_t i = 0; i < kRequests; ++i) {
    works.emplace_back(op, i + 1, bench.arena + i * bench.stride, i * bench.stride);
    guest->producer().Stage(works[i].opcode(), works[i].type(), works[i].args().data(), VGPU_SLOT_ARGS);
  }
  guest->Flush();
  uint32_t interrupted = 0;
  std::vector<ring::Answer> answers(kRequests);
  for (uint32_t i = 0; i < kRequests; ++i) {
    survivor->Await("answer", [&] { return guest->Await(first + i, &answers[i]); });
    if (testing::Test::HasFatalFailure()) return interrupted;
    EXPECT_EQ(works[i].Check(answers[i]), "") << "request " << i;
    interrupted += answers[i].code == VGPU_ERR_INTERRUPTED;
  }
  // Whatever is answered or run a second time shows once a later request has been answered.
  const std::vector<char> memory(bench.arena, bench.arena + kRequests * bench.stride);
  const auto ring = survivor->owner().ring(bench.ring);
  std::vector<uint64_t> done;
  for (uint32_t i = 0; i < kRequests; ++i) done.push_back(*ring.done(first + i));
  Work last(op == Op::kWindow ? op : Op::kNop, 77, bench.arena + kRequests * bench.stride, 0);
  const uint32_t idx =
      guest->producer().Stage(last.opcode(), last.type(), last.args().data(), VGPU_SLOT_ARGS);
  guest->Flush();
  ring::Answer answer{};
  survivor->Await("answer to the last", [&] { return guest->Await(idx, &answer); });
  EXPECT_EQ(last.Check(answer), "");
  for (uint32_t i = 0; i < kRequests; ++i) EXPECT_EQ(*ring.done(first + i), done[i]) << "answered twice";
  EXPECT_EQ(std::memcmp(bench.arena, memory.data(), memory.size()), 0) << "run again after its answer";
  return interrupted;
}

// At least and at most how many requests must be answered 12 when the mediator dies at
// the n-th visit to `point`.
std::pair<uint32_t, uint32_t> InterruptedAt(const std::string& point, Op op, uint32_t n) {
  if (!InPlace(op)) return {0, 0};
  const auto exactly = [](bool one) { return std::pair<uint32_t, uint32_t>(one, one); };
  if (point == "after_started" || point == "before_done") return exactly(n <= kRequests);
  if (!Large(op)) return {0, 0};
  if (point == "after_piece") return exactly(n <= kRequests * kLargePieces);
  // The loop comes by these places while a worker runs; to take,
  // only after it has taken what the worker runs.
  const bool beside =
      point.ends_with("_arm") || point.ends_with("_call") || (point.ends_with("_journal_cons") && n > 1);
  return {0, beside};
}

// One life: attach, open, work, close, open, work; with one death at the n-th visit
// to `point`. Was there one?
bool LiveThrough(const std::string& point, Op op, uint32_t n) {
  SCOPED_TRACE(std::string(OpName(op)) + ", dies at " + point + ":" + std::to_string(n));
  Survivor survivor(point + ":" + std::to_string(n));
  if (testing::Test::HasFatalFailure()) return false;
  Guest ring(&survivor.owner(), 0);
  Guest window(&survivor.owner(), survivor.owner().options().rings);
  survivor.Await("window", [&] { return window.AwaitWindow(); });
  OpenRing(&survivor, &ring, true);
  if (testing::Test::HasFatalFailure()) return false;
  Guest* guest = op == Op::kWindow ? &window : &ring;
  const uint32_t interrupted = RunRequests(&survivor, guest, op);
  if (testing::Test::HasFatalFailure()) return false;
  const auto [at_least, at_most] = InterruptedAt(point, op, n);
  EXPECT_GE(interrupted, at_least);
  EXPECT_LE(interrupted, at_most);
  OpenRing(&survivor, &ring, false);
  OpenRing(&survivor, &ring, true);
  if (testing::Test::HasFatalFailure()) return false;
  RunRequests(&survivor, &ring, Op::kAdd);
  if (survivor.crashes() != 0) return true;
  // On a busy machine it may be idle for the first time only now; nobody waits for anything any more who
  // would notice.
  return n == 1 && point.ends_with("_arm") && survivor.owner().peer().HungUp();
}

// Must a mediator come by this point when it serves `op`?
bool Visits(const std::string& point, Op op) {
  if (point == "before_started" || point == "after_started") return InPlace(op);
  if (point == "after_piece") return Large(op);
  return true;
}

// The next owner of the ring comes while no mediator runs: what the owner before it left is not run any more.
TEST(RestartTest, NewEpochAskedWhileAway_OldRequestsAreForgotten) {
  for (const Op op : kOps) {
    if (op == Op::kWindow) continue;
    SCOPED_TRACE(OpName(op));
    const TempFolder folder;
    const DaemonOptions options{.socket = folder / "socket", .log = folder / "log"};
    auto daemon = std::make_unique<Daemon>(options);
    ASSERT_TRUE(daemon->Serving()) << daemon->Log();
    Owner owner({.region_bytes = 4 << 20});
    ASSERT_TRUE(owner.Attach(options.socket));
    Guest first(&owner, 0), second(&owner, 0);
    first.Open();
    daemon->Signal(SIGSTOP);
    std::vector<Work> works;
    for (uint32_t i = 0; i < kRequests; ++i) {
      works.emplace_back(op, i, owner.arena(0) + i * kWorkBytes, i * kWorkBytes);
      first.producer().Stage(works[i].opcode(), works[i].type(), works[i].args().data(), VGPU_SLOT_ARGS);
    }
    first.Flush();
    // Taken, says the journal, and not answered.
    daemon->Kill();
    owner.journal()->cons = kRequests;
    const std::vector<char> memory(owner.arena(0), owner.arena(0) + kRequests * kWorkBytes);
    second.AskEpoch(true);
    daemon = std::make_unique<Daemon>(options);
    ASSERT_TRUE(daemon->Serving()) << daemon->Log();
    ASSERT_TRUE(owner.Attach(options.socket)) << daemon->Log();
    uint32_t state = VGPU_EPOCH_CLOSED;
    ASSERT_EQ(second.AwaitEpoch(&state), Outcome::kDone) << daemon->Log();
    ASSERT_EQ(state, VGPU_EPOCH_OPEN);
    EXPECT_EQ(second.Ask(second.Add(40, 2)).data, 42u) << daemon->Log();
    EXPECT_EQ(std::memcmp(owner.arena(0), memory.data(), memory.size()), 0) << "the old requests were run";
  }
}

// The earlier mediator may have died between an answer and its call, and a guest in a VM
// does not see the link.
TEST(RestartTest, NewMediator_CallsEachRingOnce) {
  const TempFolder folder;
  const DaemonOptions options{.socket = folder / "socket", .log = folder / "log"};
  Owner owner({.rings = 3});
  for (int life = 0; life < 3; ++life) {
    Daemon daemon(options);
    ASSERT_TRUE(daemon.Serving()) << daemon.Log();
    ASSERT_TRUE(owner.Attach(options.socket)) << daemon.Log();
    for (uint32_t q = 0; q <= 3; ++q) {
      pollfd call{owner.doorbells(q).call.get(), POLLIN, 0};
      EXPECT_TRUE(Eventually([&] { return poll(&call, 1, 0) == 1; })) << "ring " << q;
      uint64_t count;
      EXPECT_EQ(read(call.fd, &count, sizeof count), static_cast<ssize_t>(sizeof count));
    }
    owner.Hangup();
  }
}

// The mediator dies while it carries out a device reset. What was answered before is not run again.
TEST(RestartTest, DiedWithinAReset_OldRequestsAreLeftAlone) {
  Survivor survivor("within_epoch_journal:3");  // after those that opened the window and the ring
  ASSERT_FALSE(HasFatalFailure());
  Guest window(&survivor.owner(), 1), ring(&survivor.owner(), 0);
  survivor.Await("window", [&] { return window.AwaitWindow(); });
  OpenRing(&survivor, &ring, true);
  ASSERT_FALSE(HasFatalFailure());
  const Work work(Op::kInPlaceSmall, 1, survivor.owner().arena(0), 0);
  const uint32_t idx = ring.producer().Stage(work.opcode(), work.type(), work.args().data(), VGPU_SLOT_ARGS);
  ASSERT_EQ(work.Check(ring.Ask(idx)), "");
  ASSERT_EQ(survivor.crashes(), 0u);
  survivor.owner().peer().Send(VGPU_MSG_RESET);
  ASSERT_TRUE(survivor.owner().peer().HungUp());
  OpenRing(&survivor, &ring, true);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(survivor.crashes(), 1u);
  EXPECT_EQ(ring.Ask(ring.Add(1, 2)).data, 3u);
  EXPECT_EQ(work.Check({VGPU_OK, 0}), "");
}

// Requests that the mediator before had not answered are taken up again as soon as the memory is there: a
// reset that comes before GRANT is told to be done when none of them runs any more.
TEST(RestartTest, ResetBeforeGrant_NothingOfBeforeRunsAfterItsAnswer) {
  constexpr uint64_t kCount = 2 << 20;
  const TempFolder folder;
  const auto start = [&] {
    return std::make_unique<Daemon>(
        DaemonOptions{.binary = kCrashMediator, .socket = folder / "socket", .log = folder / "log"});
  };
  auto daemon = start();
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  Owner owner({.region_bytes = 64 << 20});
  ASSERT_TRUE(owner.Attach(daemon->socket()));
  Guest guest(&owner, 0);
  guest.Open();
  for (int i = 0; i < 40; ++i)
    guest.Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {kCount, 0, 4 * kCount, 8 * kCount});
  guest.Flush();
  ring::Answer answer;
  ASSERT_EQ(guest.Await(0, &answer), Outcome::kDone);
  daemon->Kill();
  owner.Hangup();
  daemon = start();
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  Peer peer(daemon->socket());
  owner.SendAttach(&peer);
  peer.Send(VGPU_MSG_RESET);
  peer.Expect(VGPU_MSG_HELLO);
  peer.Expect(VGPU_MSG_GRANT);
  peer.Expect(VGPU_MSG_STATE);
  peer.Expect(VGPU_MSG_RESET_DONE);
  char* const sums = owner.arena(0) + 8 * kCount;
  std::memset(sums, 0x55, 4 * kCount);
  peer.Send(VGPU_MSG_RESET);  // waits for whatever runs
  peer.Expect(VGPU_MSG_STATE);
  peer.Expect(VGPU_MSG_RESET_DONE);
  EXPECT_TRUE(std::all_of(sums, sums + 4 * kCount, [](char byte) { return byte == 0x55; }))
      << "a request of before the reset has run";
}

class CrashPoint : public testing::TestWithParam<const char*> {};

TEST_P(CrashPoint, EveryRequestIsAnsweredExactlyOnce) {
  constexpr uint32_t kVisitsMax = 7;
  const std::string point = GetParam();
  for (const Op op : kOps) {
    uint32_t n = 1;
    while (n <= kVisitsMax && LiveThrough(point, op, n) && !HasFailure()) ++n;
    ASSERT_FALSE(HasFailure());
    EXPECT_EQ(n > 1, Visits(point, op)) << OpName(op);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, CrashPoint,
                         testing::Values("before_begin", "after_begin", "before_epoch_journal",
                                         "within_epoch_journal", "after_epoch_journal", "after_epoch_answer",
                                         "before_journal_cons", "after_journal_cons", "before_started",
                                         "after_started", "after_piece", "before_done", "after_done",
                                         "before_call", "after_call", "before_arm", "after_arm"),
                         [](const auto& point) { return std::string(point.param); });

}  // namespace
}  // namespace vgpu::test
