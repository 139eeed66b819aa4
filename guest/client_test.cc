// SPDX-License-Identifier: Apache-2.0
#include "guest/client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "guest/allocation_counter.h"
#include "ring/memory.h"
#include "tests/support/fake_transport.h"

namespace vgpu::guest {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TimePoint Soon() {
  return Clock::now() + seconds(20);
}  // long enough for a busy machine, and an end to a hung test

// Both kinds of waiting: sleeping until a call, and polling.
class ClientTest : public testing::TestWithParam<bool> {
 protected:
  void Start(Manner manner, uint32_t entries = 8) {
    mediator_.reset();  // before its transport
    transport_ = std::make_shared<FakeTransport>(FakeOptions{2, entries, 1u << 20, GetParam()});
    mediator_ = std::make_unique<FakeMediator>(transport_.get(), 0, manner);
  }
  void StartAndOpen(Manner manner, uint32_t entries = 8) {
    Start(manner == Manner::kOpensNothing ? manner : Manner::kGood, entries);
    auto client = Client::Open(transport_, 0, Soon());
    ASSERT_TRUE(client) << client.error().text;
    client_ = std::move(*client);
    mediator_->SetManner(manner);
  }
  void ExpectSum(uint32_t idx, int32_t sum) {
    const TimePoint deadline = Soon();
    auto answer = client_->Wait(idx, deadline);
    ASSERT_TRUE(answer) << answer.error().text;
    ASSERT_LT(Clock::now(), deadline) << "found at the deadline only: a wake-up was lost";
    EXPECT_EQ(answer->code, VGPU_OK);
    EXPECT_EQ(static_cast<int32_t>(answer->data), sum);
  }
  uint32_t CodeOf(uint32_t idx, TimePoint deadline) {
    auto answer = client_->Wait(idx, deadline);
    return answer ? VGPU_OK : answer.error().code;
  }

  std::shared_ptr<FakeTransport> transport_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<FakeMediator> mediator_;  // stops before the client closes
};

INSTANTIATE_TEST_SUITE_P(Waiting, ClientTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Sleeping" : "Polling"; });

TEST_P(ClientTest, Add_GivesTheSum) {
  StartAndOpen(Manner::kGood);
  ExpectSum(client_->Add(100, 200), 300);
  ExpectSum(client_->Add(-5, 3), -2);
  ExpectSum(client_->Add(INT32_MAX, 1), INT32_MIN);
}

TEST_P(ClientTest, SmallestRing_ManyLaps) {
  StartAndOpen(Manner::kGood, 2);
  for (int32_t i = 0; i < 5000; ++i) ExpectSum(client_->Add(i, i), 2 * i);
}

TEST_P(ClientTest, FullRing_EveryAnswerBelongsToItsRequest) {
  for (const Manner manner : {Manner::kGood, Manner::kBackwards}) {
    StartAndOpen(manner, 64);
    for (int32_t round = 0; round < 100; ++round) {
      std::vector<uint32_t> requests;
      while (client_->CanSubmit())
        requests.push_back(client_->Add(round, static_cast<int32_t>(requests.size())));
      ASSERT_EQ(requests.size(), 64u);
      client_->Flush();
      for (size_t i = 0; i < requests.size(); ++i) ExpectSum(requests[i], round + static_cast<int32_t>(i));
    }
    client_.reset();
  }
}

TEST_P(ClientTest, WaitInAnyOrder_EveryAnswerBelongsToItsRequest) {
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  StartAndOpen(Manner::kBackwards, 16);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint32_t> requests(16);
    for (int32_t i = 0; i < 16; ++i) requests[static_cast<size_t>(i)] = client_->Add(i, 1000);
    std::vector<int32_t> order(16);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (const int32_t i : order) ExpectSum(requests[static_cast<size_t>(i)], i + 1000);
  }
}

TEST_P(ClientTest, PollAny_TakesEachAnswerOnce) {
  StartAndOpen(Manner::kBackwards);
  std::vector<uint32_t> requests;
  while (client_->CanSubmit()) requests.push_back(client_->Add(static_cast<int32_t>(requests.size()), 0));
  ExpectSum(requests[3], 3);  // may stash others
  std::vector<bool> seen(requests.size());
  seen[3] = true;
  const TimePoint deadline = Soon();
  for (size_t taken = 1; taken < requests.size();) {
    ASSERT_LT(Clock::now(), deadline);
    uint32_t idx;
    Answer answer;
    if (!client_->PollAny(&idx, &answer)) continue;
    const size_t which = idx - requests[0];
    ASSERT_LT(which, requests.size());
    EXPECT_EQ(answer.data, which);
    EXPECT_FALSE(seen[which]);
    seen[which] = true;
    ++taken;
  }
  uint32_t idx;
  Answer answer;
  EXPECT_FALSE(client_->PollAny(&idx, &answer));
}

TEST_P(ClientTest, PollRun_TakesWhatIsThere_InARow_Once) {
  for (const Manner manner : {Manner::kGood, Manner::kBackwards}) {
    StartAndOpen(manner, 16);
    for (uint32_t round = 0; round < 100; ++round) {
      std::vector<Answer> answers(16);
      EXPECT_EQ(client_->PollRun(client_->producer().prod(), 16, answers.data()), 0u) << "nothing was asked";
      const uint32_t first = client_->Add(0, 7);
      for (int32_t i = 1; i < 16; ++i) client_->Add(i, 7);
      client_->Flush();
      EXPECT_EQ(client_->PollRun(first, 0, answers.data()), 0u);
      const TimePoint deadline = Soon();
      for (uint32_t got = 0; got < 16;) {
        ASSERT_LT(Clock::now(), deadline);
        const uint32_t asked = std::min(16 - got, 5u);
        const uint32_t taken = client_->PollRun(first + got, asked, answers.data());
        ASSERT_LE(taken, asked);
        for (uint32_t i = 0; i < taken; ++i) ASSERT_EQ(answers[i].data, got + i + 7);
        got += taken;
      }
      EXPECT_EQ(client_->PollRun(first, 16, answers.data()), 0u) << "they were taken";
    }
    client_.reset();
  }
}

TEST_P(ClientTest, Unflushed_IsNotSent_WaitSendsIt) {
  StartAndOpen(Manner::kGood);
  const uint32_t idx = client_->Add(1, 2);
  Answer answer;
  const TimePoint until = Clock::now() + milliseconds(20);
  while (Clock::now() < until) ASSERT_FALSE(client_->Poll(idx, &answer));
  ExpectSum(idx, 3);
}

TEST_P(ClientTest, FullRing_RefusesUntilAnAnswerIsTaken) {
  StartAndOpen(Manner::kGood, 2);
  const uint32_t first = client_->Nop();
  const uint32_t second = client_->Add(1, 2);
  EXPECT_FALSE(client_->CanSubmit());
  ExpectSum(second, 3);
  EXPECT_FALSE(client_->CanSubmit()) << "the slot of the first request is not free yet";
  ExpectSum(first, 0);
  EXPECT_TRUE(client_->CanSubmit());
}

TEST_P(ClientTest, RequestPath_AllocatesNothing) {
  StartAndOpen(Manner::kGood, 64);
  ExpectSum(client_->Add(1, 2), 3);
  std::vector<uint32_t> requests(64);
  // The fake mediator allocates on its own thread until its vector has grown once.
  for (int warm = 0; warm < 2; ++warm) {
    for (uint32_t& idx : requests) idx = client_->Nop();
    for (const uint32_t idx : requests) ASSERT_TRUE(client_->Wait(idx, Soon()));
  }
  const uint64_t before = AllocationCount();
  for (int round = 0; round < 100; ++round) {
    for (uint32_t& idx : requests) idx = client_->Add(round, 1);
    client_->Flush();
    for (const uint32_t idx : requests) {
      auto answer = client_->Wait(idx, Soon());
      if (!answer || answer->data != static_cast<uint32_t>(round) + 1) FAIL();
    }
  }
  if (!AllocationsAreCounted()) GTEST_SKIP() << "nobody counts allocations under this sanitizer";
  EXPECT_EQ(AllocationCount(), before);
}

TEST_P(ClientTest, SilentMediator_TimesOut_LaterAnswerIsNotLost) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Add(1, 2);
  auto answer = client_->Wait(idx, Clock::now() + milliseconds(30));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, VGPU_ERR_TIMEOUT);
  EXPECT_NE(answer.error().text.find("no answer within"), std::string::npos);
  mediator_->SetManner(Manner::kGood);
  ExpectSum(idx, 3);
}

TEST_P(ClientTest, DeadlineInThePast_TimesOutAtOnce) {
  StartAndOpen(Manner::kSilent);
  EXPECT_EQ(CodeOf(client_->Add(1, 2), Clock::now() - seconds(1)), VGPU_ERR_TIMEOUT);
}

TEST_P(ClientTest, MediatorThatOpensNothing_OpenTimesOut) {
  Start(Manner::kOpensNothing);
  auto client = Client::Open(transport_, 0, Clock::now() + milliseconds(30));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_TIMEOUT);
  EXPECT_TRUE(transport_->ClaimRing(0)) << "a failed open gives the ring back";
}

TEST_P(ClientTest, Refusal_IsAnAnswerWithItsCode) {
  StartAndOpen(Manner::kRefuses);
  auto answer = client_->Wait(client_->Nop(), Soon());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, VGPU_ERR_UNSUPPORTED);
}

TEST_P(ClientTest, FencedWhileWaiting_SaysSo) {
  StartAndOpen(Manner::kFences);
  EXPECT_EQ(CodeOf(client_->Add(1, 2), Soon()), VGPU_ERR_FENCED);
}

TEST_P(ClientTest, FencedAtOpen_SaysSo) {
  Start(Manner::kFencesOpen);
  auto client = Client::Open(transport_, 0, Soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_FENCED);
}

TEST_P(ClientTest, LinkStateFencedOrQuarantined_SaysSo) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Nop();
  transport_->SetState(VGPU_RING_STATE_QUARANTINED);
  EXPECT_EQ(CodeOf(idx, Soon()), VGPU_ERR_QUARANTINED);
  transport_->SetState(VGPU_RING_STATE_FENCED);
  EXPECT_EQ(CodeOf(idx, Soon()), VGPU_ERR_FENCED);
}

TEST_P(ClientTest, LinkStateThatCannotBe_TheDeviceIsGone) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Nop();
  transport_->SetState(UINT32_MAX);  // what memory reads as whose decoding is off
  EXPECT_EQ(CodeOf(idx, Soon()), VGPU_ERR_DEVICE_GONE);
  client_.reset();
  auto client = Client::Open(transport_, 1, Soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_DEVICE_GONE);
}

TEST_P(ClientTest, RegionReadsAsZeros_TheDeviceIsGone) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Nop();
  client_->Flush();
  transport_->SetGone();
  // A thread of the fake mediator reads them.
  auto* words = reinterpret_cast<uint64_t*>(transport_->region());
  for (size_t i = 0; i < (1 << 16) / sizeof *words; ++i) ring::RealMemory::StoreRelaxed(words + i, 0);
  EXPECT_EQ(CodeOf(idx, Soon()), VGPU_ERR_DEVICE_GONE);
}

TEST_P(ClientTest, RingReopenedByAnother_SaysReset) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Nop();
  client_->Flush();
  const auto ring = transport_->RingAt(0);
  const uint32_t epoch = ring::RequestEpoch(ring, /*open=*/true);
  transport_->Kick(0);
  const TimePoint deadline = Soon();
  uint32_t state;
  while (!ring::EpochAnswered(ring, epoch, &state)) ASSERT_LT(Clock::now(), deadline);
  EXPECT_EQ(CodeOf(idx, deadline), VGPU_ERR_RESET);
  EXPECT_LT(Clock::now(), deadline);
}

TEST_P(ClientTest, MediatorAway_UnavailableAtTheDeadline) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Nop();
  transport_->SetState(VGPU_RING_STATE_NO_MEDIATOR);
  EXPECT_EQ(CodeOf(idx, Clock::now() + milliseconds(30)), VGPU_ERR_UNAVAILABLE);
}

TEST_P(ClientTest, MediatorRefuses_SaysSoInsteadOfStartIt) {
  StartAndOpen(Manner::kSilent);
  const uint32_t idx = client_->Nop();
  transport_->SetState(VGPU_RING_STATE_NO_MEDIATOR);
  transport_->SetRefusal(VGPU_ERR_QUEUE_FULL);
  const auto answer = client_->Wait(idx, Clock::now() + milliseconds(20));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(answer.error().text.find("refuses this VM (code 7: it has as many VMs"), std::string::npos)
      << answer.error().text;
}

TEST_P(ClientTest, MediatorDiesAndComesBack_RequestsInFlightAreAnswered) {
  StartAndOpen(Manner::kSilent);
  std::vector<uint32_t> requests;
  while (client_->CanSubmit()) requests.push_back(client_->Add(static_cast<int32_t>(requests.size()), 5));
  client_->Flush();
  const FakeMediator::Memory journal = mediator_->Stop();
  transport_->SetState(VGPU_RING_STATE_NO_MEDIATOR);
  EXPECT_EQ(CodeOf(requests[0], Clock::now() + milliseconds(20)), VGPU_ERR_UNAVAILABLE);

  std::thread restart([&] {
    mediator_ = std::make_unique<FakeMediator>(transport_.get(), 0, Manner::kGood, journal);
    transport_->SetState(VGPU_RING_STATE_ATTACHED);
  });
  for (size_t i = 0; i < requests.size(); ++i) ExpectSum(requests[i], static_cast<int32_t>(i) + 5);
  restart.join();
  ExpectSum(client_->Add(1, 2), 3);
}

TEST_P(ClientTest, NoMediatorAtOpen_Unavailable) {
  Start(Manner::kGood);
  transport_->SetState(VGPU_RING_STATE_NO_MEDIATOR);
  auto client = Client::Open(transport_, 0, Clock::now() + milliseconds(20));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_UNAVAILABLE);
}

TEST_P(ClientTest, NotOutstanding_IsTheCallersMistake) {
  StartAndOpen(Manner::kGood);
  const uint32_t first = client_->Add(1, 1);
  const uint32_t second = client_->Add(2, 2);
  ExpectSum(second, 4);
  EXPECT_EQ(CodeOf(second, Soon()), VGPU_ERR_BAD_ARGUMENT) << "taken, while an older one is not";
  EXPECT_EQ(CodeOf(second + 1, Soon()), VGPU_ERR_BAD_ARGUMENT) << "never submitted";
  ExpectSum(first, 2);
  EXPECT_EQ(CodeOf(first, Soon()), VGPU_ERR_BAD_ARGUMENT) << "taken";
}

TEST_P(ClientTest, Open_BadRingOrNoRegion) {
  Start(Manner::kGood);
  auto client = Client::Open(transport_, 2, Soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_BAD_ARGUMENT);
  EXPECT_NE(client.error().text.find("rings 0 to 1"), std::string::npos) << client.error().text;
  transport_->DropRegion();
  client = Client::Open(transport_, 0, Soon());
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, VGPU_ERR_UNSUPPORTED);
}

TEST_P(ClientTest, RingInUse_SecondOpenFails_UntilTheFirstCloses) {
  StartAndOpen(Manner::kGood);
  auto second = Client::Open(transport_, 0, Soon());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, VGPU_ERR_RING_BUSY);
  ASSERT_TRUE(client_->Close(Soon()));
  second = Client::Open(transport_, 0, Soon());
  ASSERT_TRUE(second) << second.error().text;
  auto answer = (*second)->Wait((*second)->Add(3, 4), Soon());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->data, 7u);
}

TEST_P(ClientTest, ClosedWithoutWaiting_NextOwnerStartsClean) {
  StartAndOpen(Manner::kSilent);
  while (client_->CanSubmit()) client_->Add(1, 1);
  client_->Flush();
  client_.reset();
  mediator_->SetManner(Manner::kGood);
  auto next = Client::Open(transport_, 0, Soon());
  ASSERT_TRUE(next) << next.error().text;
  for (int32_t i = 0; i < 20; ++i) {
    auto answer = (*next)->Wait((*next)->Add(i, 1), Soon());
    ASSERT_TRUE(answer);
    EXPECT_EQ(static_cast<int32_t>(answer->data), i + 1);
  }
}

TEST_P(ClientTest, TwoRings_AreIndependent) {
  StartAndOpen(Manner::kSilent);
  FakeMediator other(transport_.get(), 1, Manner::kGood);
  auto client = Client::Open(transport_, 1, Soon());
  ASSERT_TRUE(client) << client.error().text;
  client_->Add(1, 1);
  client_->Flush();
  for (int32_t i = 0; i < 100; ++i) {
    auto answer = (*client)->Wait((*client)->Add(i, i), Soon());
    ASSERT_TRUE(answer);
    EXPECT_EQ(static_cast<int32_t>(answer->data), 2 * i);
  }
  ASSERT_TRUE((*client)->Close(Soon()));
}

TEST_P(ClientTest, Info_StringsEndWhateverTheMediatorWrote) {
  StartAndOpen(Manner::kGood);
  auto info = client_->Info(Soon());
  ASSERT_TRUE(info) << info.error().text;
  EXPECT_EQ(info->vm_id, 7u);
  EXPECT_EQ(std::string(info->name).size(), sizeof(info->name) - 1);
  EXPECT_EQ(client_->arena_largest(), client_->arena_bytes()) << "its buffer is free again";
}

TEST_P(ClientTest, Vectors_UsedWhereTheyLie) {
  StartAndOpen(Manner::kGood);
  constexpr uint64_t kCount = 1000;
  auto a = client_->Allocate(kCount * 4);
  auto b = client_->Allocate(kCount * 4);
  ASSERT_TRUE(a && b);
  for (uint32_t i = 0; i < kCount; ++i) {
    a->as<uint32_t>()[i] = i;
    b->as<uint32_t>()[i] = 2 * i;
  }
  const uint32_t idx = client_->VectorAdd(VGPU_TYPE_I32, kCount, a->offset(), b->offset(), a->offset());
  ASSERT_TRUE(client_->Wait(idx, Soon()));
  for (uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(a->as<uint32_t>()[i], 3 * i);
}

TEST_P(ClientTest, ArenaFull_SaysHowMuchThereIs) {
  StartAndOpen(Manner::kGood);
  auto buffer = client_->Allocate(client_->arena_bytes() + 1);
  ASSERT_FALSE(buffer);
  EXPECT_EQ(buffer.error().code, VGPU_ERR_NO_ARENA);
  EXPECT_NE(buffer.error().text.find(std::to_string(client_->arena_bytes())), std::string::npos);
}

class SleepingClientTest : public ClientTest {};
INSTANTIATE_TEST_SUITE_P(Waiting, SleepingClientTest, testing::Values(true));

TEST_P(SleepingClientTest, BothSidesAsleep_EveryWakeUpArrives) {
  StartAndOpen(Manner::kGood);
  mediator_->WaitForSleeper(true);
  for (int32_t i = 0; i < 2000; ++i) ExpectSum(client_->Add(i, 1), i + 1);
  EXPECT_GE(client_->sleeps(), 1000u);  // not each: an answer may come between arming and the second look
}

// The wake-up for an answer that is not the one waited for must not be the last one.
TEST_P(SleepingClientTest, AsleepForTheLastOfMany_Wakes) {
  StartAndOpen(Manner::kGood, 8);
  for (int round = 0; round < 500; ++round) {
    uint32_t last = 0;
    while (client_->CanSubmit()) last = client_->Add(1, 1);
    ExpectSum(last, 2);
    uint32_t idx;
    Answer answer;
    int taken = 1;
    const TimePoint deadline = Soon();
    while (taken < 8 && Clock::now() < deadline) taken += client_->PollAny(&idx, &answer) ? 1 : 0;
    ASSERT_EQ(taken, 8);
  }
}

}  // namespace
}  // namespace vgpu::guest
