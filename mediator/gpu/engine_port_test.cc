// SPDX-License-Identifier: Apache-2.0
// What an engine gets of a request, and what a request gets of an engine's answers. The engine is the test.
#include "mediator/gpu/engine_port.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/unique_fd.h"
#include "engine/engine_abi.h"
#include "gpu/batch_abi.h"
#include "mediator/gpu/placements.h"
#include "mediator/lane/session.h"
#include "mediator/loop/clock.h"
#include "mediator/requests/operations.h"
#include "operations/table.h"
#include "ring/consumer.h"

namespace vgpu::mediator {
namespace {

using ring::RealMemory;

constexpr uint64_t kRegionBytes = 4 << 20;
constexpr uint32_t kPriority = 2;
constexpr uint32_t kSlot = 5;

base::UniqueFd MakeEventfd() { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

// A VM of two rings on a GPU; the second one's requests are given to the port.
class EnginePortTest : public testing::Test {
 protected:
  EnginePortTest()
      : area_(std::make_unique<engine::Area>()),
        kick_(MakeEventfd()),
        port_(area_.get(), kick_.get(), &watched_),
        engine_(ring::RingAt(area_->jobs, engine::kJobEntries), engine::kJobEpoch) {
    SessionMemory memory;
    EXPECT_EQ(vgpu_layout_make(kRegionBytes, 2, 64, &memory.layout), 0);
    const auto region = base::MakeSealedMemfd("vgpu-test", kRegionBytes);
    const auto file = base::MakeSealedMemfd("vgpu-test", VGPU_PRIVATE_BYTES);
    memory.region = base::GuardedMapping(std::move(base::MapShared(region->get(), kRegionBytes).value()));
    memory.private_file =
        base::GuardedMapping(std::move(base::MapShared(file->get(), VGPU_PRIVATE_BYTES).value()));
    vgpu_private_fill(memory.private_file.data());
    std::vector<RingEventfds> rings(2);
    for (RingEventfds& fds : rings) fds = {MakeEventfd(), MakeEventfd()};
    session_ = std::make_unique<Session>(Identity{7, 'A', kPriority}, std::move(memory), std::move(rings),
                                         RingEventfds{MakeEventfd(), MakeEventfd()}, vgpu_device_info{});
    placements_.AddGpu(0, {'A'});
    region_ = placements_.Place({session_.get(), session_->mutable_placement(), 7}, 0, /*parked=*/false);
  }

  GuestRing* guest_ring() { return session_->rings()[1].get(); }
  Request Decoded(uint32_t opcode, uint32_t type, std::initializer_list<uint64_t> args) {
    ring::SlotCopy copy{vgpu_submit_word(opcode, type, 1), {}};
    std::copy(args.begin(), args.end(), copy.arg.begin());
    Request request{};
    request.idx = kSlot;
    Decode(copy, guest_ring()->limits(), &request);
    EXPECT_EQ(request.code, VGPU_OK);
    return request;
  }
  // What the engine takes; its index is 0, 1 and so on.
  ring::SlotCopy TakeJob() {
    port_.Flush();
    ring::SlotCopy job{};
    EXPECT_TRUE(engine_.Take(&job));
    return job;
  }
  // The engine answers its last job; the request comes back.
  void Answer(uint32_t code, uint32_t data) {
    engine_.Complete(engine_.cons() - 1, {code, data});
    std::vector<Piece> finished;
    port_.Poll(&finished);
    EXPECT_EQ(finished.size(), 1u);
    EXPECT_EQ(port_.in_flight(), 0u);
  }

  const ClockHands hands_{};
  const Clock clock_{&hands_};
  WatchedClock watched_{&clock_};
  const std::unique_ptr<engine::Area> area_;
  const base::UniqueFd kick_;
  EnginePort port_;
  ring::Consumer<RealMemory> engine_;
  Placements placements_;
  std::unique_ptr<Session> session_;
  uint32_t region_ = 0;
};

TEST_F(EnginePortTest, Vectors_ArePlacesInTheRegion) {
  Request request = Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I64, {100, 64, 4096, 8192});
  port_.SubmitJob({guest_ring(), &request, 10, 30}, 20 * 8, engine::kJobCopies);
  const ring::SlotCopy job = TakeJob();
  EXPECT_EQ(vgpu_word_data(job.submit),
            gpu::VectorJob<operations::VectorAdd>(VGPU_TYPE_I64) | engine::kJobCopies << 16);
  EXPECT_EQ(job.arg[0], vgpu_word(kPriority, region_));
  EXPECT_EQ(job.arg[1], 20u);
  const auto arena = static_cast<uint64_t>(guest_ring()->limits().arena - session_->memory().region.data());
  EXPECT_EQ(job.arg[2], arena + 64 + 10 * 8);
  EXPECT_EQ(job.arg[3], arena + 4096 + 10 * 8);
  EXPECT_EQ(job.arg[4], arena + 8192 + 10 * 8);
  Answer(VGPU_OK, 0);
  EXPECT_EQ(request.code, VGPU_OK);
}

TEST_F(EnginePortTest, SmallRequest_GetsTheEnginesResult) {
  Request request = Decoded(VGPU_OP_ADD, 0, {vgpu_word(3, 4)});
  ASSERT_NE(port_.AddRoom(), 0u);
  port_.SubmitAdd(guest_ring(), &request);
  const ring::SlotCopy job = TakeJob();
  EXPECT_EQ(vgpu_word_data(job.submit), VGPU_JOB_ADD);
  EXPECT_EQ(job.arg[1], vgpu_word(3, 4));
  EXPECT_EQ(session_->memory().region.data() + job.arg[2],
            reinterpret_cast<const char*>(guest_ring()->DoneWord(kSlot)));
  Answer(VGPU_OK, 7);
  EXPECT_EQ(request.code, VGPU_OK);
  EXPECT_EQ(request.result, 7u);
}

// The engine goes on; only this request ends.
TEST_F(EnginePortTest, RefusedJob_EndsItsRequestWithTheCode) {
  Request vectors = Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {10, 0, 64, 128});
  port_.SubmitJob({guest_ring(), &vectors, 0, 10}, 40, 0);
  TakeJob();
  Answer(VGPU_ERR_UNSUPPORTED, 0);
  EXPECT_EQ(vectors.code, VGPU_ERR_UNSUPPORTED);
  Request sum = Decoded(VGPU_OP_ADD, 0, {1});
  ASSERT_NE(port_.AddRoom(), 0u);
  port_.SubmitAdd(guest_ring(), &sum);
  TakeJob();
  Answer(VGPU_ERR_INVALID_REQUEST, 0);
  EXPECT_EQ(sum.code, VGPU_ERR_INVALID_REQUEST);
  Request next = Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {10, 0, 64, 128});
  port_.SubmitJob({guest_ring(), &next, 0, 10}, 40, 0);
  TakeJob();
  Answer(VGPU_OK, 0);
  EXPECT_EQ(next.code, VGPU_OK);
}

}  // namespace
}  // namespace vgpu::mediator
