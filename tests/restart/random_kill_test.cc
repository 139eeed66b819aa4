// SPDX-License-Identifier: Apache-2.0
// Three hundred times SIGKILL at random moments, under the load of several guests that use the client
// library: none of them notices more than a pause. VGPU_TEST_SEED repeats the guests' choices; the moments
// depend on the machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "guest/client.h"
#include "guest/host_transport.h"
#include "tests/daemon/daemon.h"
#include "tests/restart/work.h"

namespace vgpu::test {
namespace {

constexpr int kKills = 300;
constexpr uint32_t kGuests = 3;
constexpr uint32_t kDepth = 8;  // requests outstanding at a time

struct Tally {
  std::atomic<uint64_t> answered{0};
  std::atomic<uint64_t> interrupted{0};
};

// One guest: batches of random requests, awaited in random order, until *stop. "" or what went wrong.
std::string Live(const std::string& socket, uint32_t id, uint64_t seed, const std::atomic<bool>* stop,
                 Tally* tally) {
  constexpr Op kMix[] = {Op::kNop,          Op::kAdd,          Op::kAdd,
                         Op::kDeviceInfo,   Op::kVaddSmall,    Op::kInPlaceSmall,
                         Op::kInPlaceSmall, Op::kInPlaceLarge, Op::kVaddLarge};
  std::mt19937_64 random(seed + id);
  auto transport =
      guest::HostTransport::Open({socket, id, 'A', id % 3, 1, 16, 16u << 20}, Clock::now() + kPatience);
  if (!transport) return transport.error().text;
  auto opened = guest::Client::Open(std::move(*transport), 0, Clock::now() + kPatience);
  if (!opened) return opened.error().text;
  guest::Client& client = **opened;
  std::vector<guest::Buffer> places;
  for (uint32_t i = 0; i < kDepth; ++i) places.push_back(std::move(client.Allocate(kWorkBytes).value()));
  for (uint32_t serial = 1; !*stop; serial += kDepth) {
    std::vector<std::pair<uint32_t, Work>> batch;
    const uint32_t depth = 1 + static_cast<uint32_t>(random() % kDepth);
    for (uint32_t i = 0; i < depth; ++i) {
      const Work work(kMix[random() % std::size(kMix)], serial + i, places[i].data(), places[i].offset());
      const uint32_t idx = client.Submit(work.opcode(), work.type(), work.args().data(), VGPU_SLOT_ARGS);
      batch.emplace_back(idx, work);
      if (random() % 4 == 0) client.Flush();
    }
    std::shuffle(batch.begin(), batch.end(), random);
    for (const auto& [idx, work] : batch) {
      const auto answer = client.Wait(idx, Clock::now() + kPatience);
      if (!answer) return std::string(OpName(work.op())) + ": " + answer.error().text;
      const std::string wrong = work.Check(*answer);
      if (!wrong.empty()) return std::string(OpName(work.op())) + ": " + wrong;
      ++tally->answered;
      tally->interrupted += answer->code == VGPU_ERR_INTERRUPTED;
    }
  }
  return "";
}

TEST(RandomKillTest, ThreeHundredKillsUnderLoad_EveryAnswerIsRight) {
  const uint64_t seed = TestSeed();
  const TempFolder folder;
  const DaemonOptions options{
      .socket = folder / "socket", .flags = {"--log-level", "error"}, .log = folder / "log"};
  auto daemon = std::make_unique<Daemon>(options);
  ASSERT_TRUE(daemon->Serving()) << daemon->Log();
  std::atomic<bool> stop{false};
  std::vector<Tally> tallies(kGuests);
  std::vector<std::string> errors(kGuests);
  std::vector<std::thread> guests;
  for (uint32_t i = 0; i < kGuests; ++i) {
    guests.emplace_back([&, i] { errors[i] = Live(options.socket, i + 1, seed, &stop, &tallies[i]); });
  }
  // A guest is refused where no mediator is; from its first answer on it lives with anything.
  const bool at_work = Eventually([&] {
    return std::all_of(tallies.begin(), tallies.end(), [](const Tally& tally) { return tally.answered > 0; });
  });
  EXPECT_TRUE(at_work);
  std::mt19937_64 random(seed);
  for (int kill = 0; kill < kKills; ++kill) {
    // From "still attaching" to "well under way".
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    EXPECT_TRUE(daemon->Running()) << "it ended by itself:\n" << daemon->Log();
    daemon->Kill();
    daemon = std::make_unique<Daemon>(options);
    const bool serving = kill % 2 != 0 || daemon->Serving();  // or killed while it starts
    EXPECT_TRUE(serving) << daemon->Log();
  }
  EXPECT_TRUE(daemon->Serving()) << daemon->Log();
  stop = true;
  for (std::thread& guest : guests) guest.join();
  uint64_t interrupted = 0;
  for (uint32_t i = 0; i < kGuests; ++i) {
    EXPECT_EQ(errors[i], "") << "guest " << i + 1;
    EXPECT_GT(tallies[i].answered, 100u) << "guest " << i + 1 << " hardly worked: this test proves little";
    interrupted += tallies[i].interrupted;
    std::printf("guest %u: %llu answers, %llu of them interrupted\n", i + 1,
                static_cast<unsigned long long>(tallies[i].answered),
                static_cast<unsigned long long>(tallies[i].interrupted));
  }
  // One kill interrupts at most the one started request of each ring.
  EXPECT_LE(interrupted, uint64_t{kKills} * kGuests);
}

}  // namespace
}  // namespace vgpu::test
