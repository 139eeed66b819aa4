// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/cpu_workers.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "api/device_info.h"
#include "api/vector.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "mediator/lane/session.h"
#include "mediator/requests/operations.h"
#include "mediator/sched/policy.h"
#include "ring/abi.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kThreads = 3;
constexpr uint32_t kRoom = kThreads * policy::kPiecesPerWorker;

// Whose pieces they are. It has the window ring only.
std::unique_ptr<Session> MakeSession() {
  const auto file = base::MakeSealedMemfd("vgpu-test", VGPU_PRIVATE_BYTES);
  SessionMemory memory;
  auto mapping = base::MapShared(file->get(), VGPU_PRIVATE_BYTES);
  memory.private_file = base::GuardedMapping(std::move(mapping.value()));
  vgpu_private_fill(memory.private_file.data());
  return std::make_unique<Session>(Identity{1, 'A', 1}, std::move(memory), std::vector<RingEventfds>(),
                                   RingEventfds{}, vgpu_device_info{});
}

// Reaps until `count` pieces are finished; the descriptor says when to try again.
std::vector<Piece> ReapAll(CpuWorkers* workers, size_t count) {
  std::vector<Piece> finished;
  while (finished.size() < count) {
    pollfd ready{workers->finished_fd(), POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, -1), 1);
    workers->Reap(&finished);
  }
  return finished;
}

TEST(CpuWorkers, RoomForSomePiecesOfEachWorker_AndAgainOnceTheyAreReaped) {
  const auto session = MakeSession();
  GuestRing* ring = session->rings().front().get();
  auto workers = CpuWorkers::Create(kThreads);
  ASSERT_TRUE(workers) << workers.error();
  std::vector<Request> requests(kRoom);
  for (Request& request : requests) request.op = FindOperation(VGPU_OP_NOP);
  for (int round = 0; round < 100; ++round) {
    uint32_t submitted = 0;
    for (; (*workers)->HasRoom(); ++submitted) (*workers)->Submit({ring, &requests[submitted], 0, 0});
    EXPECT_EQ(submitted, kRoom);
    std::set<const Request*> once;
    for (const Piece& piece : ReapAll(workers->get(), kRoom)) once.insert(piece.request);
    EXPECT_EQ(once.size(), kRoom) << "one came twice, in round " << round;
  }
}

TEST(CpuWorkers, EndsWithPiecesThatWait) {
  const auto session = MakeSession();
  GuestRing* ring = session->rings().front().get();
  auto workers = CpuWorkers::Create(1);
  ASSERT_TRUE(workers) << workers.error();
  Request request{};
  request.op = FindOperation(VGPU_OP_NOP);
  while ((*workers)->HasRoom()) (*workers)->Submit({ring, &request, 0, 0});
  workers->reset();
}

}  // namespace
}  // namespace vgpu::mediator
