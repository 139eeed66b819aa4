// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/engine_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace vgpu::mediator {
namespace {

using Kind = EngineAction::Kind;
using Kinds = std::vector<Kind>;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMs = 1'000'000;
constexpr EnginePoolOptions kOptions{.spare = true, .park_s = 30, .timeout_ms = 1000};
constexpr EnginePoolOptions kWithoutSpare{.spare = false, .park_s = 30, .timeout_ms = 1000};

Kinds KindsOf(const EngineActions& actions) {
  Kinds kinds;
  for (const EngineAction& action : actions) kinds.push_back(action.kind);
  return kinds;
}

// The only action of this kind.
EngineAction Only(const EngineActions& actions, Kind kind) {
  EngineAction found;
  int count = 0;
  for (const EngineAction& action : actions) {
    if (action.kind != kind) continue;
    found = action;
    ++count;
  }
  EXPECT_EQ(count, 1);
  return found;
}

// A pool whose current engine serves since 0 and whose spare one, if any, is ready.
struct Served {
  explicit Served(const EnginePoolOptions& options = kOptions) : pool(options, /*found=*/true) {
    first = pool.AddReady(0);
    const EngineActions actions = pool.Replenish();
    if (!options.spare) return;
    spare = Only(actions, Kind::kStartSpare).engine;
    pool.Started(spare);
    pool.Ready(spare, 0);
  }

  // The current engine fails after a second of work, and is gone. Returns the start of the next one.
  EngineAction FailAndGo(int64_t now_ns) {
    const EngineId engine = pool.current();
    pool.Failed(engine, now_ns);
    return Only(pool.Gone(engine, now_ns), Kind::kStart);
  }

  EnginePool pool;
  EngineId first = kNoEngine;
  EngineId spare = kNoEngine;
};

// ---- transitions ----

constexpr std::array kLives = {EngineLife::kAbsent,  EngineLife::kStarting, EngineLife::kCancelled,
                               EngineLife::kLoading, EngineLife::kServing,  EngineLife::kRetired};
constexpr std::array kUses = {GpuUse::kInUse, GpuUse::kParked, GpuUse::kWanted};

TEST(EngineLife, Edges) {
  using Life = EngineLife;
  const std::vector<std::pair<Life, Life>> edges = {
      {Life::kAbsent, Life::kStarting},    {Life::kStarting, Life::kLoading},
      {Life::kStarting, Life::kCancelled}, {Life::kStarting, Life::kAbsent},
      {Life::kCancelled, Life::kRetired},  {Life::kCancelled, Life::kAbsent},
      {Life::kLoading, Life::kServing},    {Life::kLoading, Life::kRetired},
      {Life::kServing, Life::kRetired},    {Life::kRetired, Life::kAbsent},
  };
  for (const Life from : kLives) {
    for (const Life to : kLives) {
      const bool listed = std::find(edges.begin(), edges.end(), std::pair(from, to)) != edges.end();
      EXPECT_EQ(MayFollow(from, to), listed) << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

TEST(EngineLifeDeathTest, NoOtherEdge) {
  for (const EngineLife from : kLives) {
    for (const EngineLife to : kLives) {
      EngineLife life = from;
      if (!MayFollow(from, to)) {
        EXPECT_DEATH(Move(&life, to), "MayFollow");
      }
    }
  }
}

TEST(GpuUse, Edges) {
  const std::vector<std::pair<GpuUse, GpuUse>> edges = {{GpuUse::kInUse, GpuUse::kParked},
                                                        {GpuUse::kParked, GpuUse::kWanted},
                                                        {GpuUse::kParked, GpuUse::kInUse},
                                                        {GpuUse::kWanted, GpuUse::kInUse}};
  for (const GpuUse from : kUses) {
    for (const GpuUse to : kUses) {
      const bool listed = std::find(edges.begin(), edges.end(), std::pair(from, to)) != edges.end();
      EXPECT_EQ(MayFollow(from, to), listed) << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

TEST(GpuUseDeathTest, NoOtherEdge) {
  for (const GpuUse from : kUses) {
    for (const GpuUse to : kUses) {
      GpuUse use = from;
      if (!MayFollow(from, to)) {
        EXPECT_DEATH(Move(&use, to), "MayFollow");
      }
    }
  }
}

TEST(EnginePoolDeathTest, WhatAnOwnerCannotSay) {
  Served served;
  EnginePool& pool = served.pool;
  constexpr EngineId kNobody = 7;
  EXPECT_DEATH(pool.AddReady(0), "current_ == kNoEngine");
  EXPECT_DEATH(pool.Started(kNobody), "MayFollow");
  EXPECT_DEATH(pool.Started(served.first), "MayFollow");
  EXPECT_DEATH(pool.StartRefused(served.first, 0), "MayFollow");
  EXPECT_DEATH(pool.Ready(served.first, 0), "MayFollow");
  EXPECT_DEATH(pool.Ready(kNobody, 0), "MayFollow");
  EXPECT_DEATH(pool.Failed(kNobody, 0), "engine == current_");
  EXPECT_DEATH(pool.Gone(served.first, 0), "kRetired");
  EXPECT_DEATH(pool.Gone(kNobody, 0), "kRetired");
  EXPECT_DEATH(pool.Started(EnginePool::kEnginesMax), "kEnginesMax");
  EXPECT_DEATH(pool.Started(kNoEngine), "kEnginesMax");
}

// ---- the engine that works and the spare one ----

TEST(EnginePool, SpareIsWanted_IsStartedOnceTheCurrentOneServes) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineAction first = Only(pool.Replenish(), Kind::kStart);
  EXPECT_EQ(first.delay_ms, 0);
  EXPECT_TRUE(pool.Replenish().empty());
  EXPECT_TRUE(pool.Started(first.engine).empty());
  EXPECT_TRUE(pool.Replenish().empty());
  const EngineActions actions = pool.Ready(first.engine, 5);
  EXPECT_EQ(KindsOf(actions), (Kinds{Kind::kReady, Kind::kStartSpare, Kind::kServe}));
  EXPECT_EQ(pool.spare(), Only(actions, Kind::kStartSpare).engine);
  EXPECT_TRUE(pool.Serves(pool.current()));
  EXPECT_EQ(pool.life(pool.spare()), EngineLife::kStarting);
}

TEST(EnginePool, NoSpareIsWanted_NoneIsStarted) {
  EnginePool pool(kWithoutSpare, /*found=*/true);
  pool.AddReady(0);
  EXPECT_TRUE(pool.Replenish().empty());
}

TEST(EnginePool, SpareIsReady_ServesAndWaits) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId current = pool.AddReady(0);
  const EngineId spare = Only(pool.Replenish(), Kind::kStartSpare).engine;
  pool.Started(spare);
  EXPECT_EQ(KindsOf(pool.Ready(spare, 9)), Kinds{Kind::kServe});
  EXPECT_EQ(pool.current(), current);
  EXPECT_EQ(pool.spare(), spare);
}

TEST(EnginePool, CurrentFails_SpareIsPromoted_AndReplacedWhenTheOldOneIsGone) {
  Served served;
  EnginePool& pool = served.pool;
  const EngineActions actions = pool.Failed(served.first, kSecond);
  EXPECT_EQ(KindsOf(actions), (Kinds{Kind::kKill, Kind::kLost, Kind::kPromote}));
  EXPECT_EQ(Only(actions, Kind::kKill).engine, served.first);
  EXPECT_EQ(Only(actions, Kind::kPromote).engine, served.spare);
  EXPECT_EQ(pool.current(), served.spare);
  EXPECT_EQ(pool.spare(), kNoEngine);
  EXPECT_TRUE(pool.HasRetired());
  const EngineActions after = pool.Gone(served.first, kSecond);
  EXPECT_EQ(KindsOf(after), Kinds{Kind::kStartSpare});
  EXPECT_FALSE(pool.HasRetired());
  EXPECT_EQ(pool.spare(), served.first) << "its place is used again";
}

TEST(EnginePool, RetiredEngine_HasNothingToSay) {
  Served served;
  EnginePool& pool = served.pool;
  pool.Failed(served.first, kSecond);
  EXPECT_TRUE(pool.Failed(served.first, kSecond).empty());
  EXPECT_TRUE(pool.Ready(served.first, kSecond).empty());
  EXPECT_TRUE(pool.Idle(served.first, true, 60 * kSecond).empty());
}

TEST(EnginePool, BothFail_NextOneIsStartedWhenOneIsGone) {
  Served served;
  EnginePool& pool = served.pool;
  pool.Failed(served.first, kSecond);
  EXPECT_EQ(KindsOf(pool.Failed(served.spare, kSecond)), (Kinds{Kind::kKill, Kind::kLost}));
  EXPECT_EQ(pool.current(), kNoEngine);
  EXPECT_EQ(KindsOf(pool.Gone(served.spare, kSecond)), Kinds{Kind::kStart});
  EXPECT_TRUE(pool.HasRetired());
  EXPECT_TRUE(pool.Gone(served.first, kSecond).empty());
  EXPECT_FALSE(pool.HasRetired());
}

TEST(EnginePool, SpareFailsOnceReady_IsReplaced) {
  Served served;
  const EngineActions actions = served.pool.Failed(served.spare, kSecond);
  EXPECT_EQ(KindsOf(actions), (Kinds{Kind::kKill, Kind::kSpareLost}));
  EXPECT_EQ(KindsOf(served.pool.Gone(served.spare, kSecond)), Kinds{Kind::kStartSpare});
}

TEST(EnginePool, SpareFailsWhileItLoads_IsGivenUp) {
  EnginePool pool(kOptions, /*found=*/true);
  pool.AddReady(0);
  const EngineId spare = Only(pool.Replenish(), Kind::kStartSpare).engine;
  pool.Started(spare);
  EXPECT_EQ(KindsOf(pool.Failed(spare, kSecond)), (Kinds{Kind::kKill, Kind::kSpareGivenUp}));
  EXPECT_TRUE(pool.Gone(spare, kSecond).empty());
  EXPECT_TRUE(pool.Replenish().empty());
}

TEST(EnginePool, SpareIsRefused_CurrentGoesOn) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId current = pool.AddReady(0);
  const EngineId spare = Only(pool.Replenish(), Kind::kStartSpare).engine;
  EXPECT_TRUE(pool.StartRefused(spare, kSecond).empty());
  EXPECT_EQ(pool.current(), current);
  EXPECT_EQ(pool.use(), GpuUse::kInUse);
  EXPECT_EQ(KindsOf(pool.Replenish()), Kinds{Kind::kStartSpare});
}

// ---- engines that overtake each other ----

TEST(EnginePool, CurrentFailsWhileTheSpareLoads_WhoIsReadyFirstDoesTheWork) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId first = pool.AddReady(0);
  const EngineId second = Only(pool.Replenish(), Kind::kStartSpare).engine;
  pool.Started(second);
  EXPECT_EQ(KindsOf(pool.Failed(first, kSecond)), (Kinds{Kind::kKill, Kind::kLost}));
  const EngineId third = Only(pool.Gone(first, kSecond), Kind::kStart).engine;
  pool.Started(third);
  EXPECT_EQ(KindsOf(pool.Ready(second, 2 * kSecond)), (Kinds{Kind::kRecovered, Kind::kServe}));
  EXPECT_EQ(pool.current(), second);
  EXPECT_EQ(pool.spare(), third);
  EXPECT_EQ(KindsOf(pool.Ready(third, 3 * kSecond)), Kinds{Kind::kServe});
  EXPECT_EQ(pool.spare(), third);
}

TEST(EnginePool, CurrentFailsWhileTheSpareStarts_WhoComesFirstIsTheCurrentOne) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId first = pool.AddReady(0);
  const EngineId second = Only(pool.Replenish(), Kind::kStartSpare).engine;
  pool.Failed(first, kSecond);
  const EngineId third = Only(pool.Gone(first, kSecond), Kind::kStart).engine;
  EXPECT_EQ(pool.current(), third);
  pool.Started(second);
  EXPECT_EQ(pool.current(), second);
  EXPECT_EQ(pool.spare(), third);
}

TEST(EnginePool, SpareThatIsToBeTheCurrentOneIsRefused_TheOtherOneIsWaitedFor) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId first = pool.AddReady(0);
  const EngineId second = Only(pool.Replenish(), Kind::kStartSpare).engine;
  pool.Failed(first, kSecond);
  const EngineId third = Only(pool.Gone(first, kSecond), Kind::kStart).engine;
  EXPECT_TRUE(pool.StartRefused(second, kSecond).empty());
  EXPECT_EQ(pool.spare(), third);
  pool.Started(third);
  EXPECT_EQ(KindsOf(pool.Ready(third, kSecond)), (Kinds{Kind::kRecovered, Kind::kStartSpare, Kind::kServe}));
  EXPECT_EQ(pool.current(), third);
}

// ---- engines that fail again and again ----

TEST(EnginePool, EngineFailsWhileItLoads_NextOneIsDelayed) {
  Served served(kWithoutSpare);
  const EngineAction second = served.FailAndGo(kSecond);
  EXPECT_EQ(second.delay_ms, 100);
  served.pool.Started(second.engine);
  const EngineAction third = served.FailAndGo(2 * kSecond);
  EXPECT_EQ(third.delay_ms, 200);
}

TEST(EnginePool, ThreeFailBeforeTheyAreReady_EachStartIsLater_AndTheFirstThatIsReadyHasRecovered) {
  Served served(kWithoutSpare);
  EngineAction start = served.FailAndGo(kSecond);
  for (const int delay_ms : {100, 200, 400}) {
    EXPECT_EQ(start.delay_ms, delay_ms);
    served.pool.Started(start.engine);
    start = served.FailAndGo(kSecond);
  }
  EXPECT_EQ(start.delay_ms, 800);
  served.pool.Started(start.engine);
  EXPECT_EQ(KindsOf(served.pool.Ready(start.engine, kSecond)), (Kinds{Kind::kRecovered, Kind::kServe}));
}

TEST(EnginePool, Delays_HaveABound) {
  Served served(kWithoutSpare);
  int64_t now_ns = kSecond;
  EngineAction start = served.FailAndGo(now_ns);
  for (int i = 0; i < 20; ++i) {  // ready each time, but not for long
    served.pool.Started(start.engine);
    served.pool.Ready(start.engine, now_ns);
    start = served.FailAndGo(now_ns += kSecond);
  }
  EXPECT_EQ(start.delay_ms, EnginePool::kDelayMaxMs);
}

TEST(EnginePool, EngineWasWellForAMinute_FailuresBeforeItDoNotCount) {
  Served served(kWithoutSpare);
  EngineAction start = served.FailAndGo(kSecond);
  served.pool.Started(start.engine);
  start = served.FailAndGo(kSecond);
  EXPECT_EQ(start.delay_ms, 200);
  served.pool.Started(start.engine);
  served.pool.Ready(start.engine, 2 * kSecond);
  EXPECT_EQ(served.FailAndGo(62 * kSecond).delay_ms, 100);
}

TEST(EnginePool, EightFailBeforeTheyAreReady_TheGpuIsParked_UntilARequestWantsItLater) {
  Served served(kWithoutSpare);
  EnginePool& pool = served.pool;
  EngineAction start = served.FailAndGo(kSecond);
  for (int i = 0; i < 7; ++i) {
    pool.Started(start.engine);
    start = served.FailAndGo(kSecond);
  }
  pool.Started(start.engine);
  const EngineActions actions = pool.Failed(start.engine, kSecond);
  EXPECT_EQ(KindsOf(actions), (Kinds{Kind::kKill, Kind::kLost, Kind::kParkFailing}));
  EXPECT_TRUE(pool.Gone(start.engine, kSecond).empty());
  EXPECT_TRUE(pool.Wanted(31 * kSecond - 1).empty()) << "too early";
  EXPECT_EQ(pool.use(), GpuUse::kParked);
  const EngineActions wanted = pool.Wanted(31 * kSecond);
  EXPECT_EQ(KindsOf(wanted), (Kinds{Kind::kUnpark, Kind::kStart}));
  EXPECT_EQ(Only(wanted, Kind::kStart).delay_ms, 0);
}

TEST(EnginePool, StartIsRefusedAndThereIsNoOtherEngine_TheGpuIsParked) {
  Served served(kWithoutSpare);
  const EngineAction start = served.FailAndGo(kSecond);
  EXPECT_EQ(KindsOf(served.pool.StartRefused(start.engine, 2 * kSecond)), Kinds{Kind::kParkFailing});
  EXPECT_EQ(served.pool.life(start.engine), EngineLife::kAbsent);
  EXPECT_TRUE(served.pool.Wanted(32 * kSecond - 1).empty());
  EXPECT_EQ(KindsOf(served.pool.Wanted(32 * kSecond)), (Kinds{Kind::kUnpark, Kind::kStart}));
}

// ---- overdue ----

TEST(EnginePool, NothingIsRetired_OverdueAfterTheTimeout) {
  Served served;
  EXPECT_FALSE(served.pool.IsOverdue(10 * kMs, 1010 * kMs - 1));
  EXPECT_TRUE(served.pool.IsOverdue(10 * kMs, 1010 * kMs));
}

TEST(EnginePool, RequestsAreInFlightWhileAnEngineIsRetired_ItsSuccessorHasFourTimeouts) {
  Served served;
  served.pool.Failed(served.first, kSecond);
  EXPECT_FALSE(served.pool.IsOverdue(10 * kMs, 4010 * kMs - 1));
  EXPECT_TRUE(served.pool.IsOverdue(10 * kMs, 4010 * kMs));
}

TEST(EnginePool, RetiredEngineIsGone_TheTimeBeforeDoesNotCount) {
  Served served;
  served.pool.Failed(served.first, kSecond);
  served.pool.Gone(served.first, 2000 * kMs);
  EXPECT_FALSE(served.pool.IsOverdue(10 * kMs, 3000 * kMs - 1));
  EXPECT_TRUE(served.pool.IsOverdue(10 * kMs, 3000 * kMs));
  EXPECT_FALSE(served.pool.IsOverdue(2500 * kMs, 3500 * kMs - 1));
}

// ---- parking ----

TEST(EnginePool, CurrentIsIdle_TheGpuIsParked_AndBackWhenAllAreGone) {
  Served served;
  EnginePool& pool = served.pool;
  EXPECT_EQ(KindsOf(pool.Idle(served.first, true, 15 * kSecond)),
            (Kinds{Kind::kPark, Kind::kKill, Kind::kKill}));
  EXPECT_EQ(pool.use(), GpuUse::kParked);
  EXPECT_TRUE(pool.Replenish().empty());
  EXPECT_TRUE(pool.Wanted(16 * kSecond).empty()) << "not beside the old ones";
  EXPECT_EQ(pool.use(), GpuUse::kWanted);
  EXPECT_TRUE(pool.Wanted(17 * kSecond).empty());
  EXPECT_TRUE(pool.Gone(served.spare, 0).empty());
  EXPECT_EQ(KindsOf(pool.Gone(served.first, 0)), (Kinds{Kind::kUnpark, Kind::kStart}));
  EXPECT_EQ(pool.use(), GpuUse::kInUse);
}

TEST(EnginePool, ParkedGpuComesBack_NothingIsNewsAndNoFailureIsRemembered) {
  Served served(kWithoutSpare);
  EnginePool& pool = served.pool;
  const EngineAction start = served.FailAndGo(kSecond);
  pool.Started(start.engine);
  pool.Ready(start.engine, kSecond);
  pool.Idle(start.engine, true, 60 * kSecond);
  pool.Gone(start.engine, 0);
  const EngineAction again = Only(pool.Wanted(61 * kSecond), Kind::kStart);
  EXPECT_EQ(again.delay_ms, 0);
  pool.Started(again.engine);
  EXPECT_EQ(KindsOf(pool.Ready(again.engine, 62 * kSecond)), (Kinds{Kind::kReady, Kind::kServe}));
}

TEST(EnginePool, SaidToBeIdleButIsNot_StaysAwake) {
  Served served;
  EnginePool& pool = served.pool;
  EXPECT_EQ(KindsOf(pool.Idle(served.first, false, 60 * kSecond)), Kinds{Kind::kStayAwake});
  EXPECT_EQ(KindsOf(pool.Idle(served.first, true, 15 * kSecond - 1)), Kinds{Kind::kStayAwake});
  EXPECT_TRUE(pool.Idle(served.spare, true, 60 * kSecond).empty());
  pool.Failed(served.first, 60 * kSecond);
  const EngineActions actions = pool.Idle(served.spare, true, 61 * kSecond);
  EXPECT_EQ(KindsOf(actions), Kinds{Kind::kStayAwake}) << "it has been promoted a moment ago";
  EXPECT_EQ(Only(actions, Kind::kStayAwake).engine, served.spare);
}

TEST(EnginePool, ParkedWhileASpareStarts_ItIsRetiredWhenItComes) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId current = pool.AddReady(0);
  const EngineId spare = Only(pool.Replenish(), Kind::kStartSpare).engine;
  EXPECT_EQ(KindsOf(pool.Idle(current, true, 60 * kSecond)), (Kinds{Kind::kPark, Kind::kKill}));
  EXPECT_EQ(pool.life(spare), EngineLife::kCancelled);
  EXPECT_TRUE(pool.Gone(current, 0).empty());
  EXPECT_TRUE(pool.Wanted(61 * kSecond).empty()) << "not beside the one that is still to come";
  const EngineActions actions = pool.Started(spare);
  EXPECT_EQ(KindsOf(actions), Kinds{Kind::kKill});
  EXPECT_EQ(Only(actions, Kind::kKill).engine, spare);
  EXPECT_EQ(KindsOf(pool.Gone(spare, 0)), (Kinds{Kind::kUnpark, Kind::kStart}));
}

TEST(EnginePool, ParkedWhileASpareStarts_ItIsRefused) {
  EnginePool pool(kOptions, /*found=*/true);
  const EngineId current = pool.AddReady(0);
  const EngineId spare = Only(pool.Replenish(), Kind::kStartSpare).engine;
  pool.Idle(current, true, 60 * kSecond);
  pool.Gone(current, 0);
  pool.Wanted(61 * kSecond);
  EXPECT_EQ(KindsOf(pool.StartRefused(spare, 62 * kSecond)), (Kinds{Kind::kUnpark, Kind::kStart}));
}

TEST(EnginePool, InUse_NobodyNeedsToWantIt) {
  Served served;
  EXPECT_TRUE(served.pool.Wanted(kSecond).empty());
  EXPECT_TRUE(served.pool.Probe().empty());
}

// ---- a GPU that is not found yet ----

TEST(EnginePool, NotFound_IsProbed) {
  EnginePool pool(kOptions, /*found=*/false);
  EXPECT_EQ(pool.use(), GpuUse::kParked);
  EXPECT_TRUE(pool.Replenish().empty());
  EXPECT_TRUE(pool.Wanted(kSecond).empty()) << "no VM knows of it";
  const EngineId first = Only(pool.Probe(), Kind::kStart).engine;
  EXPECT_TRUE(pool.Probe().empty()) << "that is under way";
  EXPECT_EQ(KindsOf(pool.StartRefused(first, kSecond)), Kinds{Kind::kParkFailing});
  const EngineId second = Only(pool.Probe(), Kind::kStart).engine;
  pool.Started(second);
  EXPECT_EQ(KindsOf(pool.Failed(second, 2 * kSecond)), (Kinds{Kind::kKill, Kind::kLost, Kind::kParkFailing}));
  EXPECT_TRUE(pool.Probe().empty()) << "not beside the old one";
  EXPECT_TRUE(pool.Gone(second, 0).empty());
  const EngineId third = Only(pool.Probe(), Kind::kStart).engine;
  pool.Started(third);
  EXPECT_FALSE(pool.found());
  EXPECT_EQ(KindsOf(pool.Ready(third, 3 * kSecond)),
            (Kinds{Kind::kFound, Kind::kReady, Kind::kStartSpare, Kind::kServe}));
  EXPECT_TRUE(pool.found());
  EXPECT_TRUE(pool.Probe().empty());
}

// ---- any order of events ----

// Carries out what the pool says, and checks that it may be said. What has been started, what runs and what
// has been killed is the owner's knowledge, held against the pool's.
class Owner {
 public:
  explicit Owner(uint32_t seed) : random_(seed) {}

  void Step() {
    now_ns_ += std::uniform_int_distribution<int64_t>(0, 10 * kSecond)(random_);
    switch (std::uniform_int_distribution(0, 7)(random_)) {
      case 0: return Carry(pool_.Replenish());
      case 1: return Carry(pool_.Wanted(now_ns_));
      case 2: return FirstOrdered([this](EngineId id) { Carry(pool_.Started(id)); }, EngineLife::kLoading);
      case 3:
        return FirstOrdered([this](EngineId id) { Carry(pool_.StartRefused(id, now_ns_)); },
                            EngineLife::kAbsent);
      case 4:
        return Any(EngineLife::kLoading, [this](EngineId id) {
          lives_[id] = EngineLife::kServing;
          Carry(pool_.Ready(id, now_ns_));
        });
      case 5: return Any(EngineLife::kServing, [this](EngineId id) { Carry(pool_.Failed(id, now_ns_)); });
      case 6: return Any(EngineLife::kServing, [this](EngineId id) { Carry(pool_.Idle(id, true, now_ns_)); });
      case 7:
        return Any(EngineLife::kRetired, [this](EngineId id) {
          lives_.erase(id);
          Carry(pool_.Gone(id, now_ns_));
        });
    }
  }

  void Check() const {
    uint32_t retired = 0;
    uint32_t in_a_role = 0;
    for (const auto& [id, life] : lives_) {
      const EngineLife pools = pool_.life(id);
      EXPECT_TRUE(pools == life || (life == EngineLife::kStarting && pools == EngineLife::kCancelled));
      retired += pools == EngineLife::kRetired || pools == EngineLife::kCancelled;
      in_a_role += id == pool_.current() || id == pool_.spare();
    }
    EXPECT_EQ(pool_.HasRetired(), retired != 0);
    EXPECT_EQ(lives_.size(), retired + in_a_role) << "an engine is in a role, or on its way out";
    EXPECT_TRUE(pool_.current() == kNoEngine || pool_.current() != pool_.spare());
    if (pool_.use() != GpuUse::kInUse) {
      EXPECT_EQ(in_a_role, 0u);
    }
    if (pool_.use() == GpuUse::kWanted) {
      EXPECT_TRUE(pool_.HasRetired());
    }
    EXPECT_FALSE(pool_.Serves(pool_.spare()) && !pool_.Serves(pool_.current())) << "it should do the work";
  }

  // Everything that is under way ends well. Then the GPU is served.
  void Settle() {
    for (int i = 0; i < 50; ++i) {
      FirstOrdered([this](EngineId id) { Carry(pool_.Started(id)); }, EngineLife::kLoading);
      Any(EngineLife::kRetired, [this](EngineId id) {
        lives_.erase(id);
        Carry(pool_.Gone(id, now_ns_));
      });
      Any(EngineLife::kLoading, [this](EngineId id) {
        lives_[id] = EngineLife::kServing;
        Carry(pool_.Ready(id, now_ns_));
      });
      now_ns_ += 30 * kSecond;
      Carry(pool_.Wanted(now_ns_));
      Carry(pool_.Replenish());
    }
    EXPECT_TRUE(pool_.Serves(pool_.current()));
    EXPECT_FALSE(pool_.HasRetired());
  }

 private:
  void Carry(const EngineActions& actions) {
    for (const EngineAction& action : actions) {
      if (action.kind == Kind::kStart || action.kind == Kind::kStartSpare) {
        EXPECT_FALSE(lives_.contains(action.engine));
        lives_[action.engine] = EngineLife::kStarting;
        ordered_.push_back(action.engine);
      }
      if (action.kind == Kind::kKill) {
        EXPECT_TRUE(lives_.at(action.engine) == EngineLife::kLoading ||
                    lives_.at(action.engine) == EngineLife::kServing);
        lives_[action.engine] = EngineLife::kRetired;
      }
      const bool serves = action.kind == Kind::kServe || action.kind == Kind::kPromote;
      if (serves) {
        EXPECT_EQ(lives_.at(action.engine), EngineLife::kServing);
      }
    }
  }

  // Orders are answered in turn.
  void FirstOrdered(const std::function<void(EngineId)>& tell, EngineLife becomes) {
    if (ordered_.empty()) return;
    const EngineId id = ordered_.front();
    ordered_.erase(ordered_.begin());
    lives_[id] = becomes;
    if (becomes == EngineLife::kAbsent) lives_.erase(id);
    tell(id);
  }

  void Any(EngineLife life, const std::function<void(EngineId)>& tell) {
    std::vector<EngineId> ids;
    for (const auto& [id, its_life] : lives_) {
      if (its_life == life) ids.push_back(id);
    }
    if (!ids.empty()) tell(ids[std::uniform_int_distribution<size_t>(0, ids.size() - 1)(random_)]);
  }

  std::mt19937 random_;
  EnginePool pool_{kOptions, /*found=*/true};
  std::map<EngineId, EngineLife> lives_;
  std::vector<EngineId> ordered_;
  int64_t now_ns_ = 0;
};

TEST(EnginePool, AnyOrderOfEvents_KeepsTheRoles_AndEndsServed) {
  const uint32_t first = std::random_device()();
  for (uint32_t seed = first; seed != first + 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Owner owner(seed);
    for (int i = 0; i < 300; ++i) {
      owner.Step();
      owner.Check();
      if (testing::Test::HasFailure()) return;
    }
    owner.Settle();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace vgpu::mediator
