// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/placements.h"

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

// What else only Placements can do.
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

// ---- placements ----

struct Vm {
  explicit Vm(uint32_t its_id) : id(its_id) {}

  const uint32_t id;
  Placement placement;
};

// GPU 0 serves pools A and B, GPU 1 only B.
class PlacementsTest : public testing::Test {
 protected:
  PlacementsTest() {
    placements_.AddGpu(/*ordinal=*/3, {'A', 'B'});
    placements_.AddGpu(/*ordinal=*/5, {'B'});
  }

  Vm* Place(uint32_t id, uint32_t gpu = 0, bool parked = false) {
    Vm* vm = &vms_.emplace_back(id);
    const uint32_t region = placements_.Place({nullptr, &vm->placement, id}, gpu, parked);
    EXPECT_EQ(vm->placement.region(), region);
    return vm;
  }

  Vm* Served(uint32_t id, uint32_t gpu = 0) {
    Vm* vm = Place(id, gpu);
    EXPECT_TRUE(placements_.Serve(vm->placement.region()));
    return vm;
  }

  bool Blame(const Vm& vm) { return placements_.Blame(vm.placement.region()); }
  bool MayRegister(const Vm& vm) { return placements_.MayRegister(vm.placement.region()); }
  void Release(const Vm& vm) {
    const uint32_t region = vm.placement.region();
    placements_.BeginRelease(region);
    placements_.EndRelease(region);
  }
  static Placements::Regions These(std::initializer_list<const Vm*> vms) {
    Placements::Regions regions;
    for (const Vm* vm : vms) regions.set(vm->placement.region());
    return regions;
  }

  Placements placements_;
  std::deque<Vm> vms_;
};
using PlacementsDeathTest = PlacementsTest;

TEST_F(PlacementsTest, OfItsPool_TheGpuWithTheFewestVmsIsChosen) {
  EXPECT_EQ(placements_.ChooseGpu('A'), 0u);
  EXPECT_EQ(placements_.ChooseGpu('B'), 0u) << "the first of equals";
  EXPECT_EQ(placements_.ChooseGpu('C'), Placements::kNone);
  const Vm* vm = Place(1, 0);
  EXPECT_EQ(placements_.ChooseGpu('B'), 1u);
  EXPECT_EQ(placements_.ChooseGpu('A'), 0u);
  Release(*vm);
  EXPECT_EQ(placements_.ChooseGpu('B'), 0u);
  EXPECT_TRUE(placements_.Serves(0, 'A'));
  EXPECT_FALSE(placements_.Serves(1, 'A'));
}

TEST_F(PlacementsTest, Placed_WaitsForAnEngine) {
  const Vm* vm = Place(1, 1);
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_EQ(vm->placement.gpu(), 1u);
  EXPECT_EQ(vm->placement.ordinal(), 5);
  EXPECT_FALSE(vm->placement.on_device());
  EXPECT_TRUE(MayRegister(*vm));
  EXPECT_EQ(placements_.On(1), These({vm}));
  EXPECT_TRUE(placements_.On(0).none());
}

TEST_F(PlacementsTest, RegionNumbers_AreUsedAgain) {
  const Vm* first = Place(1);
  const Vm* second = Place(2);
  EXPECT_NE(first->placement.region(), second->placement.region());
  const uint32_t region = first->placement.region();
  Release(*first);
  EXPECT_EQ(first->placement.region(), Placement::kNone);
  EXPECT_EQ(first->placement.gpu(), Placement::kNone);
  EXPECT_EQ(first->placement.ordinal(), -1);
  EXPECT_FALSE(placements_.MayRegister(region));
  EXPECT_EQ(Place(3)->placement.region(), region);
}

TEST_F(PlacementsTest, AllRegionsAreTaken_Full) {
  for (uint32_t i = 0; i < Placements::kRegionsMax; ++i) {
    EXPECT_FALSE(placements_.full());
    Place(i);
  }
  EXPECT_TRUE(placements_.full());
  Release(vms_[7]);
  EXPECT_FALSE(placements_.full());
}

TEST_F(PlacementsTest, Registered_IsServed_UntilTheEngineIsLost) {
  const Vm* vm = Served(1);
  const Vm* waits = Place(2);
  const Vm* elsewhere = Served(3, 1);
  EXPECT_TRUE(vm->placement.on_device());
  EXPECT_TRUE(MayRegister(*vm)) << "with a spare engine";
  EXPECT_EQ(placements_.LoseEngine(0), These({vm}));
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_EQ(waits->placement.state(), State::kWaiting);
  EXPECT_EQ(elsewhere->placement.state(), State::kServed);
  EXPECT_TRUE(placements_.LoseEngine(0).none());
  EXPECT_TRUE(placements_.Serve(vm->placement.region())) << "a spare engine has been promoted";
}

TEST_F(PlacementsTest, MemoryCannotBeUsed_StaysOnTheCpu) {
  const Vm* vm = Place(1);
  placements_.Refuse(vm->placement.region());
  EXPECT_EQ(vm->placement.state(), State::kRefused);
  EXPECT_FALSE(MayRegister(*vm));
  EXPECT_TRUE(placements_.Park(0).none());
  placements_.Unpark(0);
  placements_.Refuse(vm->placement.region());
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

// ---- parked GPUs ----

TEST_F(PlacementsTest, GpuIsParked_SoAreItsVms_UntilItIsInUseAgain) {
  const Vm* served = Served(1);
  const Vm* waits = Place(2);
  const Vm* elsewhere = Served(3, 1);
  EXPECT_EQ(placements_.Park(0), These({served})) << "the other one's requests were with the CPU";
  EXPECT_TRUE(served->placement.parked());
  EXPECT_TRUE(waits->placement.parked());
  EXPECT_FALSE(elsewhere->placement.parked());
  placements_.Unpark(0);
  EXPECT_EQ(served->placement.state(), State::kWaiting);
  EXPECT_EQ(waits->placement.state(), State::kWaiting);
}

TEST_F(PlacementsTest, PlacedOnAParkedGpu_IsParked) {
  EXPECT_EQ(Place(1, 0, /*parked=*/true)->placement.state(), State::kParked);
}

// ---- memory that ends engines ----

TEST_F(PlacementsTest, TwoEnginesEndOverItsMemory_StaysOnTheCpu_AlsoWhenItComesBack) {
  const Vm* vm = Place(1);
  EXPECT_FALSE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_TRUE(MayRegister(*vm));
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kRefused);
  EXPECT_FALSE(MayRegister(*vm));
  Release(*vm);
  EXPECT_TRUE(placements_.IsBlamed(1));
  EXPECT_EQ(Place(1, 1, /*parked=*/true)->placement.state(), State::kRefused);
  EXPECT_EQ(Place(2)->placement.state(), State::kWaiting);
  EXPECT_FALSE(placements_.IsBlamed(2));
}

TEST_F(PlacementsTest, SpareEnginesEndOverItsMemory_ServedUntilItsOwnEngineIsLost) {
  const Vm* vm = Served(1);
  Blame(*vm);
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kServed);
  EXPECT_FALSE(MayRegister(*vm));
  EXPECT_EQ(placements_.LoseEngine(0), These({vm}));
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

TEST_F(PlacementsTest, BlamedWhileItIsParked_RefusedOnceTheGpuIsInUse) {
  const Vm* vm = Place(1, 0, /*parked=*/true);
  Blame(*vm);
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kParked);
  EXPECT_FALSE(MayRegister(*vm));
  placements_.Unpark(0);
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

TEST_F(PlacementsTest, BlamedAndServed_IsNotParkedWithItsGpu) {
  const Vm* vm = Served(1);
  Blame(*vm);
  Blame(*vm);
  EXPECT_EQ(placements_.Park(0), These({vm}));
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

TEST_F(PlacementsTest, AnEngineWasAskedBeforeTheVmWasRefused_AndTheAnswerIsYes_Served) {
  const Vm* vm = Place(1);
  Blame(*vm);
  Blame(*vm);
  EXPECT_TRUE(placements_.Serve(vm->placement.region()));
  EXPECT_TRUE(vm->placement.on_device());
  placements_.LoseEngine(0);
  EXPECT_EQ(vm->placement.state(), State::kRefused);
}

// ---- VMs go ----

TEST_F(PlacementsTest, ServedVmGoes_ItsPlaceIsKeptUntilNoEngineHasItsMemory) {
  const Vm* vm = Served(1);
  const uint32_t region = vm->placement.region();
  EXPECT_TRUE(placements_.BeginRelease(region)) << "its requests were with the GPU";
  EXPECT_FALSE(vm->placement.on_device());
  EXPECT_EQ(placements_.Releasing(), These({vm}));
  EXPECT_EQ(vm->placement.gpu(), 0u);
  EXPECT_FALSE(MayRegister(*vm));
  placements_.EndRelease(region);
  EXPECT_TRUE(placements_.Releasing().none());
  EXPECT_TRUE(placements_.On(0).none());
  EXPECT_EQ(vm->placement.state(), State::kUnplaced);
}

TEST_F(PlacementsTest, VmGoesWhileItsMemoryIsRegistered_TheAnswerServesNobody) {
  const Vm* vm = Place(1);
  const uint32_t region = vm->placement.region();
  EXPECT_FALSE(placements_.BeginRelease(region)) << "its requests were with the CPU";
  EXPECT_FALSE(placements_.Serve(region));
  placements_.Refuse(region);
  EXPECT_EQ(vm->placement.state(), State::kReleasing);
  EXPECT_FALSE(Blame(*vm));
  EXPECT_TRUE(Blame(*vm));
  EXPECT_EQ(vm->placement.state(), State::kReleasing);
}

TEST_F(PlacementsTest, VmGoesWhileItsGpuIsParkedAndBack_StaysOnItsWay) {
  const Vm* vm = Served(1);
  placements_.BeginRelease(vm->placement.region());
  EXPECT_TRUE(placements_.Park(0).none());
  placements_.Unpark(0);
  EXPECT_TRUE(placements_.LoseEngine(0).none());
  EXPECT_EQ(vm->placement.state(), State::kReleasing);
}

TEST_F(PlacementsTest, VmHasLeft_CanBePlacedAgain) {
  Vm* vm = Served(1);
  Release(*vm);
  placements_.Place({nullptr, &vm->placement, vm->id}, 1, false);
  EXPECT_EQ(vm->placement.state(), State::kWaiting);
  EXPECT_EQ(vm->placement.ordinal(), 5);
}

TEST_F(PlacementsDeathTest, WhatNobodyCanDo) {
  Vm* vm = Served(1);
  const uint32_t region = vm->placement.region();
  EXPECT_DEATH(placements_.Place({nullptr, &vm->placement, 1}, 0, false), "kUnplaced");
  EXPECT_DEATH(placements_.Serve(region), "MayFollow");
  EXPECT_DEATH(placements_.EndRelease(region), "MayFollow");
  placements_.BeginRelease(region);
  EXPECT_DEATH(placements_.BeginRelease(region), "MayFollow");
  const Vm* parked = Place(2, 0, /*parked=*/true);
  EXPECT_DEATH(placements_.Serve(parked->placement.region()), "MayFollow");
}

TEST_F(PlacementsDeathTest, NoRegionIsFree) {
  for (uint32_t i = 0; i < Placements::kRegionsMax; ++i) Place(i);
  Placement another;
  EXPECT_DEATH(placements_.Place({nullptr, &another, 999}, 0, false), "end\\(\\)");
}

}  // namespace
}  // namespace vgpu::mediator
