// SPDX-License-Identifier: Apache-2.0
// The order in which the GPU does the work, by its own clock: not what the mediator's queues say.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "mediator/process/trace.h"
#include "tests/gpu/gpu_fixture.h"

namespace vgpu::test {
namespace {

using mediator::ReadTrace;
using mediator::TraceEvent;
using mediator::TraceRecord;

constexpr uint32_t kLowVm = 1, kHighVm = 2;

// A piece of a vector's sum: where in the trace it was handed out, and when the GPU had done it.
struct Piece {
  uint32_t vm_id;
  size_t handed_out;
  int64_t done_ns;
};

class OrderTest : public GpuTest {
 protected:
  void StartTracing() {
    Start("park_s = 0\n", {}, "adaptive", "[trace]\nfile = \"" + trace_ + "\"\nrecords = 1000000\n");
  }

  // Ends the daemon. Each piece that went to the GPU must have come back from it, once.
  std::vector<Piece> Pieces() {
    daemon_->Signal(SIGTERM);
    EXPECT_EQ(daemon_->Join(), 0);
    uint64_t dropped = 0;
    const auto records = ReadTrace(trace_, &dropped);
    EXPECT_TRUE(records.has_value() && dropped == 0);
    std::vector<Piece> pieces;
    std::map<std::tuple<uint32_t, uint8_t, uint32_t>, Piece> out;  // VM, ring, first element
    for (size_t i = 0; records && i < records->size(); ++i) {
      const TraceRecord& record = (*records)[i];
      const auto key = std::make_tuple(record.vm_id, record.ring, record.idx);
      if (record.event == TraceEvent::kPiece) {
        EXPECT_TRUE(out.emplace(key, Piece{record.vm_id, i, 0}).second) << "handed out twice";
      } else if (record.event == TraceEvent::kDoneByGpu) {
        const auto piece = out.find(key);
        if (piece == out.end()) {
          ADD_FAILURE() << "done and never handed out";
          continue;
        }
        piece->second.done_ns = record.time_ns;
        pieces.push_back(piece->second);
        out.erase(piece);
      }
    }
    EXPECT_TRUE(out.empty()) << out.size() << " pieces did not come back from the GPU";
    return pieces;
  }

  const std::string trace_ = folder_ / "trace";
};

uint32_t AskVector(Guest* guest, uint64_t count) {
  return guest->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {count, 0, count * 4, count * 8});
}

TEST_F(OrderTest, EveryPiece_CarriesTheTimeOfTheGpu) {
  StartTracing();
  if (IsSkipped() || HasFatalFailure()) return;
  std::unique_ptr<Guest> guest;
  const auto owner = Attach(kLowVm, &guest, 'A', 64 << 20);
  // One small one; one of several pieces where it lies; one through the copy engines.
  for (const uint64_t count : {100u, 500'000u, 5'000'000u})
    ASSERT_EQ(guest->Ask(AskVector(guest.get(), count)).code, VGPU_OK);
  const std::vector<Piece> pieces = Pieces();
  EXPECT_EQ(pieces.size(), 1u + 2u + 8u);
  for (const Piece& piece : pieces) EXPECT_GT(piece.done_ns, 0);
  // A ring is a stream: a vector's pieces may overtake each other, vectors do not.
  ASSERT_EQ(pieces.size(), 11u);
  EXPECT_LT(pieces[0].done_ns, pieces[1].done_ns);
  EXPECT_LT(pieces[2].done_ns, pieces[3].done_ns);
}

// A low VM's rings always have long vectors; a high one asks for a small vector, again and again. By the
// GPU's clock, what was with the GPU already is overtaken, and what comes later does not come first.
TEST_F(OrderTest, HighVector_OvertakesALowFloodOnTheGpu) {
#ifndef VGPU_REAL_GPU
  GTEST_SKIP() << "the fake GPU knows no priorities";
#endif
  StartTracing();
  if (IsSkipped() || HasFatalFailure()) return;
  constexpr uint32_t kRings = 4;
  constexpr uint64_t kLong = 4 << 20;  // 16 MiB an operand: seven pieces
  constexpr uint64_t kShort = 4096;
  constexpr int kAsked = 300;
  std::unique_ptr<Guest> first, high;
  const auto flood = Attach(kLowVm, &first, 'A', 512 << 20, kRings, 0);
  const auto urgent = Attach(kHighVm, &high, 'A', 4 << 20, 1, 2);
  std::vector<std::unique_ptr<Guest>> low;
  low.push_back(std::move(first));
  for (uint32_t q = 1; q < kRings; ++q) {
    low.push_back(std::make_unique<Guest>(flood.get(), q));
    low.back()->Open();
  }
  const auto refill = [&] {
    for (const auto& guest : low) {
      ring::Answer answer;
      auto& producer = guest->producer();
      const uint32_t end = producer.prod();
      for (uint32_t idx = producer.oldest(); idx != end; ++idx) {
        if (producer.Take(idx, &answer)) {
          ASSERT_EQ(answer.code, VGPU_OK);
        }
      }
      while (producer.outstanding() < 3) AskVector(guest.get(), kLong);
      guest->Flush();
    }
  };
  for (int i = 0; i < kAsked; ++i) {
    refill();
    ASSERT_EQ(high->Ask(AskVector(high.get(), kShort)).code, VGPU_OK);
  }
  for (const auto& guest : low) {
    ring::Answer answer;
    const uint32_t end = guest->producer().prod();
    for (uint32_t idx = guest->producer().oldest(); idx != end; ++idx) {
      if (guest->producer().Outstanding(idx)) {
        ASSERT_EQ(guest->Await(idx, &answer), Outcome::kDone);
      }
    }
  }
  const std::vector<Piece> pieces = Pieces();
  uint64_t highs = 0, overtaken = 0, jumped = 0;
  for (const Piece& h : pieces) {
    if (h.vm_id != kHighVm) continue;
    ++highs;
    for (const Piece& l : pieces) {
      if (l.vm_id != kLowVm) continue;
      const bool done_after = l.done_ns > h.done_ns;
      if (l.handed_out > h.handed_out) {
        jumped += !done_after;
      } else {
        overtaken += done_after;
      }
    }
  }
  std::printf(
      "%llu high vectors: %llu low pieces that the GPU had before were done after them, %llu that it got "
      "later before\n",
      static_cast<unsigned long long>(highs), static_cast<unsigned long long>(overtaken),
      static_cast<unsigned long long>(jumped));
  EXPECT_EQ(highs, static_cast<uint64_t>(kAsked));
  EXPECT_GT(overtaken, static_cast<uint64_t>(kAsked));  // more than one each
  EXPECT_LE(jumped, static_cast<uint64_t>(kAsked) / 100);
}

}  // namespace
}  // namespace vgpu::test
