// SPDX-License-Identifier: Apache-2.0
#include "mediator/cpu_workers.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstdint>
#include <set>
#include <vector>

#include "api/vector.h"
#include "mediator/operations.h"
#include "mediator/sched/policy.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kThreads = 3;
constexpr uint32_t kRoom = kThreads * policy::kPiecesPerWorker;

// Reaps until `count` pieces are finished; the descriptor says when to look again.
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
  auto workers = CpuWorkers::Create(kThreads);
  ASSERT_TRUE(workers) << workers.error();
  std::vector<Request> requests(kRoom);
  for (Request& request : requests) request.op = FindOperation(VGPU_OP_NOP);
  for (int round = 0; round < 100; ++round) {
    uint32_t submitted = 0;
    for (; (*workers)->HasRoom(); ++submitted) (*workers)->Submit({nullptr, &requests[submitted], 0, 0});
    EXPECT_EQ(submitted, kRoom);
    std::set<const Request*> once;
    for (const Piece& piece : ReapAll(workers->get(), kRoom)) once.insert(piece.request);
    EXPECT_EQ(once.size(), kRoom) << "one came twice, in round " << round;
  }
}

TEST(CpuWorkers, EndsWithPiecesThatWait) {
  auto workers = CpuWorkers::Create(1);
  ASSERT_TRUE(workers) << workers.error();
  Request request{};
  request.op = FindOperation(VGPU_OP_NOP);
  while ((*workers)->HasRoom()) (*workers)->Submit({nullptr, &request, 0, 0});
  workers->reset();
}

}  // namespace
}  // namespace vgpu::mediator
