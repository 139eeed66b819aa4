// SPDX-License-Identifier: Apache-2.0
#include "mediator/seats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <utility>
#include <vector>

namespace vgpu::mediator {
namespace {

using State = PlacementState;

constexpr std::array kStates = {State::kUnplaced, State::kWaiting, State::kParked,
                                State::kServed,   State::kRefused, State::kReleasing};

// ---- transitions ----

TEST(Placement, Edges) {
  const std::vector<std::pair<State, State>> edges = {
      {State::kUnplaced, State::kWaiting},   {State::kUnplaced, State::kParked},
      {State::kUnplaced, State::kRefused},   {State::kWaiting, State::kServed},
      {State::kWaiting, State::kParked},     {State::kWaiting, State::kRefused},
      {State::kWaiting, State::kReleasing},  {State::kParked, State::kWaiting},
      {State::kParked, State::kRefused},     {State::kParked, State::kReleasing},
      {State::kServed, State::kWaiting},     {State::kServed, State::kParked},
      {State::kServed, State::kRefused},     {State::kServed, State::kReleasing},
      {State::kRefused, State::kServed},     {State::kRefused, State::kReleasing},
      {State::kReleasing, State::kUnplaced},
  };
  for (const State from : kStates) {
    for (const State to : kStates) {
      const bool listed = std::find(edges.begin(), edges.end(), std::pair(from, to)) != edges.end();
      EXPECT_EQ(MayFollow(from, to), listed) << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

// What else only Seats can do.
struct Change : Placement::Writer {
  using Writer::Assign;
  using Writer::Become;
  using Writer::Clear;
};

// Brings a fresh placement there, by edges.
void Bring(Placement* placement, State to) {
  if (to == State::kUnplaced) return;
  const bool by_waiting = to == State::kServed || to == State::kReleasing;
  Change::Assign(placement, 0, 0, 0, by_waiting ? State::kWaiting : to);
  if (by_waiting) Change::Become(placement, to);
}

TEST(PlacementDeathTest, NoOtherEdge) {
  for (const State from : kStates) {
    Placement placement;
    Bring(&placement, from);
    ASSERT_EQ(placement.state(), from);
    for (const State to : kStates) {
      if (!MayFollow(from, to)) {
        EXPECT_DEATH(Change::Become(&placement, to), "MayFollow");
      }
    }
    if (from != State::kReleasing) {
      EXPECT_DEATH(Change::Clear(&placement), "MayFollow");
    }
  }
}

// ---- seats ----

struct Vm {
  explicit Vm(uint32_t its_id) : id(its_id) {}

  const uint32_t id;
  Placement placement;
};

// GPU 0 serves pools A and B, GPU 1 only B.
class SeatsTest : public testing::Test {
 protected:
  SeatsTest() {
    seats_.AddGpu(/*ordinal=*/3, {'A', 'B'});
    seats_.AddGpu(/*ordinal=*/5, {'B'});
  }

  Vm* Place(uint32_t id, uint32_t gpu = 0, bool parked = false) {
    Vm* vm = &vms_.emplace_back(id);
    const uint32_t region = seats_.Place({nullptr, &vm->placement, id}, gpu, parked);
    EXPECT_EQ(vm->placement.region(), region);
    return vm;
  }

  Vm* Served(uint32_t id, uint32_t gpu = 0) {
    Vm* vm = Place(id, gpu);
    EXPECT_TRUE(seats_.Serve(vm->placement.region()));
    return vm;
  }

  bool Blame(const Vm& vm) { return seats_.Blame(vm.placement.region()); }
  bool MayRegister(const Vm& vm) { return seats_.MayRegister(vm.placement.region()); }
  void Release(const Vm& vm) {
    const uint32_t region = vm.placement.region();
    seats_.BeginRelease(region);
    seats_.EndRelease(region);
  }
  static Seats::Regions These(std::initializer_list<const Vm*> vms) {
    Seats::Regions regions;
    for (const Vm* vm : vms) regions.set(vm->placement.region());
    return regions;
  }

  Seats seats_;
  std::deque<Vm> vms_;
};
using SeatsDeathTest = SeatsTest;

TEST_F(SeatsTest, OfItsPool_TheGpuWithTheFewestVmsIsChosen) {
  EXPECT_EQ(seats_.ChooseGpu('A'), 0u);
  EXPECT_EQ(seats_.ChooseGpu('B'), 0u) << "the first of equals";
  EXPECT_EQ(seats_.ChooseGpu('C'), Seats::kNone);
  const Vm* vm = Place(1, 0);
  EXPECT_EQ(seats_.ChooseGpu('B'), 1u);
  EXPECT_EQ(seats_.ChooseGpu('A'), 0u);
  Release(*vm);
  EXPECT_EQ(seats_.ChooseGpu('B'), 0u);
  EXPECT_TRUE(seats_.Serves(0, 'A'));
  EXPECT_FALSE(seats_.Serves(1, 'A'));
}

TEST_F(SeatsTest, Placed_WaitsForAnEngine) {
  const Vm* vm = Place(1, 1);
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_EQ(vm->placement.gpu(), 1u);
  EXPECT_EQ(vm->placement.ordinal(), 5);
  EXPECT_FALSE(vm->placement.on_device());
  EXPECT_TRUE(MayRegister(*vm));
  EXPECT_EQ(seats_.On(1), These({vm}));
  EXPECT_TRUE(seats_.On(0).none());
}

TEST_F(SeatsTest, RegionNumbers_AreUsedAgain) {
  const Vm* first = Place(1);
  const Vm* second = Place(2);
  EXPECT_NE(first->placement.region(), second->placement.region());
  const uint32_t region = first->placement.region();
  Release(*first);
  EXPECT_EQ(first->placement.region(), Placement::kNone);
  EXPECT_EQ(first->placement.gpu(), Placement::kNone);
  EXPECT_EQ(first->placement.ordinal(), -1);
  EXPECT_FALSE(seats_.MayRegister(region));
  EXPECT_EQ(Place(3)->placement.region(), region);
}

TEST_F(SeatsTest, AllRegionsAreTaken_Full) {
  for (uint32_t i = 0; i < Seats::kRegionsMax; ++i) {
    EXPECT_FALSE(seats_.full());
    Place(i);
  }
  EXPECT_TRUE(seats_.full());
  Release(vms_[7]);
  EXPECT_FALSE(seats_.full());
}

TEST_F(SeatsTest, Registered_IsServed_UntilTheEngineIsLost) {
  const Vm* vm = Served(1);
  const Vm* waits = Place(2);
  const Vm* elsewhere = Served(3, 1);
  EXPECT_TRUE(vm->placement.on_device());
  EXPECT_TRUE(MayRegister(*vm)) << "with a spare engine";
  EXPECT_EQ(seats_.LoseEngine(0), These({vm}));
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_EQ(waits->placement.state(), State::kWaiting);
  EXPECT_EQ(elsewhere->placement.state(), State::kServed);
  EXPECT_TRUE(seats_.LoseEngine(0).none());
  EXPECT_TRUE(seats_.Serve(vm->placement.region())) << "a spare engine has been promoted";
}

TEST_F(SeatsTest, MemoryCannotBeUsed_StaysOnTheCpu) {
  const Vm* vm = Place(1);
  seats_.Refuse(vm->placement.region());
  EXPECT_EQ(vm->placement.state(), State::kRefused);
  EXPECT_FALSE(MayRegister(*vm));
  EXPECT_TRUE(seats_.Park(0).none());
  seats_.Unpark(0);
  seats_.Refuse(vm->placement.region());
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

// ---- parked GPUs ----

TEST_F(SeatsTest, GpuIsParked_SoAreItsVms_UntilItIsInUseAgain) {
  const Vm* served = Served(1);
  const Vm* waits = Place(2);
  const Vm* elsewhere = Served(3, 1);
  EXPECT_EQ(seats_.Park(0), These({served})) << "the other one's requests were with the CPU";
  EXPECT_TRUE(served->placement.parked());
  EXPECT_TRUE(waits->placement.parked());
  EXPECT_FALSE(elsewhere->placement.parked());
  seats_.Unpark(0);
  EXPECT_EQ(served->placement.state(), State::kWaiting);
  EXPECT_EQ(waits->placement.state(), State::kWaiting);
}

TEST_F(SeatsTest, PlacedOnAParkedGpu_IsParked) {
  EXPECT_EQ(Place(1, 0, /*parked=*/true)->placement.state(), State::kParked);
}

// ---- memory that ends engines ----

TEST_F(SeatsTest, TwoEnginesEndOverItsMemory_StaysOnTheCpu_AlsoWhenItComesBack) {
  const Vm* vm = Place(1);
  EXPECT_FALSE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_TRUE(MayRegister(*vm));
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kRefused);
  EXPECT_FALSE(MayRegister(*vm));
  Release(*vm);
  EXPECT_TRUE(seats_.IsBlamed(1));
  EXPECT_EQ(Place(1, 1, /*parked=*/true)->placement.state(), State::kRefused);
  EXPECT_EQ(Place(2)->placement.state(), State::kWaiting);
  EXPECT_FALSE(seats_.IsBlamed(2));
}

TEST_F(SeatsTest, SpareEnginesEndOverItsMemory_ServedUntilItsOwnEngineIsLost) {
  const Vm* vm = Served(1);
  Blame(*vm);
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kServed);
  EXPECT_FALSE(MayRegister(*vm));
  EXPECT_EQ(seats_.LoseEngine(0), These({vm}));
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

TEST_F(SeatsTest, BlamedWhileItIsParked_RefusedOnceTheGpuIsInUse) {
  const Vm* vm = Place(1, 0, /*parked=*/true);
  Blame(*vm);
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kParked);
  EXPECT_FALSE(MayRegister(*vm));
  seats_.Unpark(0);
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

TEST_F(SeatsTest, BlamedAndServed_IsNotParkedWithItsGpu) {
  const Vm* vm = Served(1);
  Blame(*vm);
  Blame(*vm);
  EXPECT_EQ(seats_.Park(0), These({vm}));
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

TEST_F(SeatsTest, AnEngineWasAskedBeforeTheVmWasRefused_AndTheAnswerIsYes_Served) {
  const Vm* vm = Place(1);
  Blame(*vm);
  Blame(*vm);
  EXPECT_TRUE(seats_.Serve(vm->placement.region()));
  EXPECT_TRUE(vm->placement.on_device());
  seats_.LoseEngine(0);
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

// ---- VMs go ----

TEST_F(SeatsTest, ServedVmGoes_ItsPlaceIsKeptUntilNoEngineHasItsMemory) {
  const Vm* vm = Served(1);
  const uint32_t region = vm->placement.region();
  EXPECT_TRUE(seats_.BeginRelease(region)) << "its requests were with the GPU";
  EXPECT_FALSE(vm->placement.on_device());
  EXPECT_EQ(seats_.Releasing(), These({vm}));
  EXPECT_EQ(vm->placement.gpu(), 0u);
  EXPECT_FALSE(MayRegister(*vm));
  seats_.EndRelease(region);
  EXPECT_TRUE(seats_.Releasing().none());
  EXPECT_TRUE(seats_.On(0).none());
  EXPECT_EQ(vm->placement.state(), State::kUnplaced);
}

TEST_F(SeatsTest, VmGoesWhileItsMemoryIsRegistered_TheAnswerServesNobody) {
  const Vm* vm = Place(1);
  const uint32_t region = vm->placement.region();
  EXPECT_FALSE(seats_.BeginRelease(region)) << "its requests were with the CPU";
  EXPECT_FALSE(seats_.Serve(region));
  seats_.Refuse(region);
  EXPECT_EQ(vm->placement.state(), State::kReleasing);
  EXPECT_FALSE(Blame(*vm));
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kReleasing);
}

TEST_F(SeatsTest, VmGoesWhileItsGpuIsParkedAndBack_StaysOnItsWay) {
  const Vm* vm = Served(1);
  seats_.BeginRelease(vm->placement.region());
  EXPECT_TRUE(seats_.Park(0).none());
  seats_.Unpark(0);
  EXPECT_TRUE(seats_.LoseEngine(0).none());
  EXPECT_EQ(vm->placement.state(), State::kReleasing);
}

TEST_F(SeatsTest, VmHasLeft_CanBePlacedAgain) {
  Vm* vm = Served(1);
  Release(*vm);
  seats_.Place({nullptr, &vm->placement, vm->id}, 1, false);
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_EQ(vm->placement.ordinal(), 5);
}

TEST_F(SeatsDeathTest, WhatNobodyCanDo) {
  Vm* vm = Served(1);
  const uint32_t region = vm->placement.region();
  EXPECT_DEATH(seats_.Place({nullptr, &vm->placement, 1}, 0, false), "kUnplaced");
  EXPECT_DEATH(seats_.Serve(region), "MayFollow");
  EXPECT_DEATH(seats_.EndRelease(region), "MayFollow");
  seats_.BeginRelease(region);
  EXPECT_DEATH(seats_.BeginRelease(region), "MayFollow");
  const Vm* parked = Place(2, 0, /*parked=*/true);
  EXPECT_DEATH(seats_.Serve(parked->placement.region()), "MayFollow");
}

TEST_F(SeatsDeathTest, NoRegionIsFree) {
  for (uint32_t i = 0; i < Seats::kRegionsMax; ++i) Place(i);
  Placement another;
  EXPECT_DEATH(seats_.Place({nullptr, &another, 999}, 0, false), "end\\(\\)");
}

}  // namespace
}  // namespace vgpu::mediator
