// SPDX-License-Identifier: Apache-2.0
#include "mediator/requests/operations.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "api/window.h"
#include "gpu/batch_abi.h"
#include "operations/plain.h"
#include "operations/table.h"
#include "ring/regs.h"

namespace vgpu::mediator {
namespace {

constexpr uint64_t kArenaBytes = 64 << 10;

class OperationsTest : public testing::Test {
 protected:
  OperationsTest() : arena_(kArenaBytes / 8) {
    info_.abi_version = VGPU_ABI_VERSION;
    std::strcpy(info_.name, "a device");
  }

  char* arena() { return reinterpret_cast<char*>(arena_.data()); }
  RingLimits Limits(bool window = false) { return {arena(), kArenaBytes, arena_in_lane_, window, &info_}; }

  Request Decoded(uint32_t opcode, uint32_t type, std::initializer_list<uint64_t> args, bool window = false,
                  uint32_t idx = 0) {
    ring::SlotCopy copy{vgpu_submit_word(opcode, type, 5), {}};
    std::copy(args.begin(), args.end(), copy.arg.begin());
    Request request;
    std::memset(static_cast<void*>(&request), 0xcc, sizeof request);  // decode must set what it promises
    request.idx = idx;
    Decode(copy, Limits(window), &request);
    return request;
  }
  // The code that a request is answered with.
  uint32_t Code(uint32_t opcode, uint32_t type, std::initializer_list<uint64_t> args) {
    const Request request = Decoded(opcode, type, args);
    EXPECT_EQ(request.op == nullptr, request.code != VGPU_OK);
    return request.code;
  }
  void Execute(Request* request) {
    mediator::Run(request, Limits(), 0, request->op->in_slot != nullptr ? 0 : request->count);
  }
  uint32_t VectorCode(uint32_t type, uint64_t count, uint64_t a, uint64_t b, uint64_t c) {
    return Code(VGPU_OP_VECTOR_ADD, type, {count, a, b, c});
  }

  std::vector<uint64_t> arena_;
  bool arena_in_lane_ = true;
  vgpu_device_info info_{};
};

TEST_F(OperationsTest, Table_FindsEachByItsOpcodeAndNothingElse) {
  for (const Operation& operation : Operations()) EXPECT_EQ(FindOperation(operation.opcode), &operation);
  size_t found = 0;
  for (uint32_t opcode = 0; opcode <= 0x10000; ++opcode) found += FindOperation(opcode) != nullptr;
  EXPECT_EQ(found, Operations().size());
  EXPECT_EQ(FindOperation(~0u), nullptr);
}

TEST_F(OperationsTest, UnknownOpcode_Unsupported) {
  for (uint32_t opcode = 0; opcode <= 0xffff; ++opcode) {
    if (FindOperation(opcode) != nullptr) continue;
    EXPECT_EQ(Code(opcode, 0, {}), VGPU_ERR_UNSUPPORTED) << opcode;
  }
  EXPECT_EQ(Code(VGPU_OP_WINDOW, 0, {}), VGPU_ERR_UNSUPPORTED);
}

// Arguments that this operation accepts.
std::vector<uint64_t> GoodArguments(const Operation& operation) {
  if (operation.in_slot != nullptr) return {7};
  if (operation.opcode == VGPU_OP_DEVICE_INFO) return {0, sizeof(vgpu_device_info)};
  EXPECT_TRUE(operations::Vectors::Has(operation.opcode)) << operation.name << ": a new kind of operation";
  return {4, 0, 64, 128};
}

// Likewise a type.
uint32_t GoodType(const Operation& operation) {
  uint32_t type = 0;
  while (operations::Vectors::Has(operation.opcode) &&
         operations::Vectors::BytesOf(operation.gpu_job - VGPU_JOB_VECTORS + type) == 0) {
    ++type;
  }
  return type;
}

TEST_F(OperationsTest, ReservedBits_RefusedForEveryOperation) {
  for (const Operation& operation : Operations()) {
    const std::vector<uint64_t> args = GoodArguments(operation);
    const uint64_t submit = vgpu_word(operation.opcode | GoodType(operation) << 16, 0);
    for (uint32_t bit = 0; bit < 32; ++bit) {
      ring::SlotCopy copy{bit < 24 ? submit : submit | uint64_t{1} << bit, {}};
      std::copy(args.begin(), args.end(), copy.arg.begin());
      Request request{};
      Decode(copy, Limits(), &request);
      EXPECT_EQ(request.code, bit < 24 ? VGPU_OK : VGPU_ERR_INVALID_REQUEST)
          << operation.name << " bit " << bit;
    }
  }
}

TEST_F(OperationsTest, Nop_Runs) {
  Request request = Decoded(VGPU_OP_NOP, 0, {});
  ASSERT_EQ(request.code, VGPU_OK);
  EXPECT_TRUE(request.inline_run);
  EXPECT_TRUE(request.repeatable);
  Execute(&request);
  EXPECT_EQ(request.code, VGPU_OK);
  EXPECT_EQ(request.result, 0u);
}

TEST_F(OperationsTest, Add_WrapsLikeTwosComplement) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max(), kMin = std::numeric_limits<int32_t>::min();
  const struct {
    int32_t a, b, sum;
  } cases[] = {{100, 200, 300},  {0, 0, 0},       {-1, 1, 0},       {-5, -6, -11},   {kMax, 1, kMin},
               {kMin, -1, kMax}, {kMin, kMin, 0}, {kMax, kMax, -2}, {kMin, kMax, -1}};
  for (const auto& [a, b, sum] : cases) {
    Request request =
        Decoded(VGPU_OP_ADD, 0, {vgpu_word(static_cast<uint32_t>(a), static_cast<uint32_t>(b))});
    ASSERT_EQ(request.code, VGPU_OK);
    EXPECT_TRUE(request.inline_run);
    EXPECT_TRUE(request.repeatable);
    Execute(&request);
    EXPECT_EQ(static_cast<int32_t>(request.result), sum) << a << " + " << b;
  }
}

TEST_F(OperationsTest, DeviceInfo_WritesTheInfoAndNothingElse) {
  std::memset(arena(), 0x5a, kArenaBytes);
  Request request = Decoded(VGPU_OP_DEVICE_INFO, 0, {512, 1024});
  ASSERT_EQ(request.code, VGPU_OK);
  Execute(&request);
  EXPECT_EQ(request.result, sizeof info_);
  EXPECT_EQ(std::memcmp(arena() + 512, &info_, sizeof info_), 0);
  EXPECT_EQ(arena()[511], 0x5a);
  EXPECT_EQ(arena()[512 + sizeof info_], 0x5a);
}

TEST_F(OperationsTest, DeviceInfo_EdgesOfTheArena) {
  constexpr uint64_t kRoom = sizeof(vgpu_device_info);
  auto code = [this](uint64_t off, uint64_t room) { return Code(VGPU_OP_DEVICE_INFO, 0, {off, room}); };
  EXPECT_EQ(code(0, kRoom), VGPU_OK);
  EXPECT_EQ(code(kArenaBytes - kRoom, kRoom), VGPU_OK);
  EXPECT_EQ(code(0, kArenaBytes), VGPU_OK);
  EXPECT_EQ(code(kArenaBytes - kRoom + 8, kRoom), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(8, kArenaBytes), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(kArenaBytes, kRoom), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(4, kRoom), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(~0ull - 7, kRoom), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(0, ~0ull), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(~0ull - kRoom + 1, ~0ull), VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(code(0, kRoom - 1), VGPU_ERR_INVALID_LENGTH);
  EXPECT_EQ(code(0, 0), VGPU_ERR_INVALID_LENGTH);
}

// ---- VECTOR_ADD ----

TEST_F(OperationsTest, VectorAdd_EdgesOfTheArena) {
  constexpr uint64_t kThird = kArenaBytes / 4;
  EXPECT_EQ(VectorCode(VGPU_TYPE_I32, kThird / 4, 0, kThird, kArenaBytes - kThird), VGPU_OK);
  EXPECT_EQ(VectorCode(VGPU_TYPE_I32, kThird / 4, 0, kThird, kArenaBytes - kThird + 4),
            VGPU_ERR_INVALID_REQUEST);
  EXPECT_EQ(VectorCode(VGPU_TYPE_I32, 1, kArenaBytes - 4, 0, 8), VGPU_OK);
  for (int operand = 0; operand < 3; ++operand) {
    for (const uint64_t beyond :
         {kArenaBytes, kArenaBytes + 4, ~uint64_t{3}, uint64_t{1} << 63, uint64_t{1} << 32}) {
      uint64_t off[3] = {0, 64, 128};
      off[operand] = beyond;
      EXPECT_EQ(VectorCode(VGPU_TYPE_I32, 1, off[0], off[1], off[2]), VGPU_ERR_INVALID_REQUEST) << beyond;
    }
  }
}

TEST_F(OperationsTest, VectorAdd_WholeArenaInPlace) {
  EXPECT_EQ(VectorCode(VGPU_TYPE_I32, VectorMax(kArenaBytes), 0, 0, 0), VGPU_OK);
  EXPECT_EQ(VectorCode(VGPU_TYPE_I32, VectorMax(kArenaBytes) + 1, 0, 0, 0), VGPU_ERR_TOO_LARGE);
  EXPECT_EQ(VectorCode(VGPU_TYPE_F64, VectorMax(kArenaBytes) / 2 + 1, 0, 0, 0), VGPU_ERR_TOO_LARGE);
  // Counts whose bytes wrap to something small.
  for (const uint64_t count :
       {~uint64_t{0}, uint64_t{1} << 62, (uint64_t{1} << 62) + 1, uint64_t{1} << 61, uint64_t{1} << 32}) {
    EXPECT_EQ(VectorCode(VGPU_TYPE_I32, count, 0, 0, 0), VGPU_ERR_TOO_LARGE) << count;
    EXPECT_EQ(VectorCode(VGPU_TYPE_I64, count, 0, 0, 0), VGPU_ERR_TOO_LARGE) << count;
  }
}

TEST_F(OperationsTest, VectorAdd_Empty) {
  Request request = Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {0, 0, kArenaBytes, 8});
  EXPECT_EQ(request.code, VGPU_OK);
  EXPECT_TRUE(request.inline_run);
  Execute(&request);
  EXPECT_EQ(VectorCode(VGPU_TYPE_I32, 0, kArenaBytes + 4, 0, 0), VGPU_ERR_INVALID_REQUEST);
}

TEST_F(OperationsTest, VectorAdd_Alignment) {
  for (const uint32_t type : {VGPU_TYPE_I32, VGPU_TYPE_F32, VGPU_TYPE_I64, VGPU_TYPE_F64}) {
    const uint64_t element = type == VGPU_TYPE_I32 || type == VGPU_TYPE_F32 ? 4 : 8;
    for (uint64_t shift = 0; shift < 8; ++shift) {
      const uint32_t code = shift % element == 0 ? VGPU_OK : VGPU_ERR_INVALID_REQUEST;
      EXPECT_EQ(VectorCode(type, 3, shift, 64, 128), code) << type << " " << shift;
      EXPECT_EQ(VectorCode(type, 3, 0, 64 + shift, 128), code) << type << " " << shift;
      EXPECT_EQ(VectorCode(type, 3, 0, 64, 128 + shift), code) << type << " " << shift;
    }
  }
}

TEST_F(OperationsTest, VectorAdd_UnknownType) {
  for (uint32_t type = 4; type < 256; ++type)
    EXPECT_EQ(VectorCode(type, 1, 0, 8, 16), VGPU_ERR_INVALID_REQUEST);
}

TEST_F(OperationsTest, VectorAdd_OverlapRules) {
  constexpr uint64_t kBytes = 16 * 4;
  auto request = [this](uint64_t a, uint64_t b, uint64_t c) {
    return Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {16, a, b, c});
  };
  // c apart from both: harmless to repeat. a and b may overlap as they like.
  for (const uint64_t b : {uint64_t{256}, uint64_t{256 + 4}, uint64_t{256 + kBytes}}) {
    EXPECT_EQ(request(256, b, 512).code, VGPU_OK);
    EXPECT_TRUE(request(256, b, 512).repeatable);
  }
  EXPECT_TRUE(request(256, 1024, 256 + kBytes).repeatable);
  EXPECT_TRUE(request(256, 1024, 256 - kBytes).repeatable);
  // c is one of them, or both: allowed, never to be repeated.
  for (const auto& [a, b, c] : {std::tuple{256, 1024, 256}, {1024, 256, 256}, {256, 256, 256}}) {
    const Request in_place =
        request(static_cast<uint64_t>(a), static_cast<uint64_t>(b), static_cast<uint64_t>(c));
    EXPECT_EQ(in_place.code, VGPU_OK);
    EXPECT_FALSE(in_place.repeatable);
  }
  // c overlaps one of them in part, from either side, by as little as one element;
  // also if it is the other one.
  for (const uint64_t c : {256 + kBytes - 4, 256 - kBytes + 4, uint64_t{256 + 4}}) {
    EXPECT_EQ(request(256, 1024, c).code, VGPU_ERR_INVALID_REQUEST) << c;
    EXPECT_EQ(request(1024, 256, c).code, VGPU_ERR_INVALID_REQUEST) << c;
    EXPECT_EQ(request(256, c, c).code, VGPU_ERR_INVALID_REQUEST) << c;
    EXPECT_EQ(request(c, 256, c).code, VGPU_ERR_INVALID_REQUEST) << c;
  }
}

TEST_F(OperationsTest, InlineCost_GrowsWithWhatIsMoved) {
  EXPECT_EQ(InlineCost(Decoded(VGPU_OP_ADD, 0, {7})), 1u);
  EXPECT_EQ(InlineCost(Decoded(0x7777, 0, {})), 1u);
  EXPECT_EQ(InlineCost(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1024, 0, 4096, 8192})), 33u);
  EXPECT_EQ(InlineCost(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_F64, {512, 0, 4096, 8192})), 33u);
}

TEST_F(OperationsTest, VectorAdd_OnlyTinyOnesRunInline) {
  EXPECT_TRUE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1024, 0, 4096, 8192}).inline_run);
  EXPECT_FALSE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1025, 0, 8192, 16384}).inline_run);
  EXPECT_TRUE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_F64, {512, 0, 4096, 8192}).inline_run);
  EXPECT_FALSE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_F64, {513, 0, 8192, 16384}).inline_run);
  const Request request = Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1025, 0, 8192, 16384});
  EXPECT_EQ(request.op->piece(request), 32768u);
}

// Nothing that touches an arena from which a long hole could be punched, but what touches none of it, does.
TEST_F(OperationsTest, ArenaThatTheLoopMayNotTouch_NothingThatTouchesItRunsInline) {
  arena_in_lane_ = false;
  EXPECT_FALSE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1, 0, 4096, 8192}).inline_run);
  EXPECT_TRUE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {0, 0, 4096, 8192}).inline_run);
  EXPECT_TRUE(Decoded(VGPU_OP_ADD, 0, {7}).inline_run);
  EXPECT_TRUE(Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, {1, 1, 4096, 8192}).inline_run) << "refused";
  const Request info = Decoded(VGPU_OP_DEVICE_INFO, 3, {0, 256});
  EXPECT_FALSE(info.inline_run);
  EXPECT_EQ(info.count, 1u);
  EXPECT_EQ(info.op->piece(info), 1u);
}

// Runs [begin, end) of `count` elements with a at 0, and compares every byte of the arena.
template <class T, class Sum>
void CheckVector(char* arena, const RingLimits& limits, uint32_t type, const std::vector<T>& x,
                 const std::vector<T>& y, bool in_place, Sum sum) {
  const uint64_t bytes = x.size() * sizeof(T);
  std::memset(arena, 0x5a, kArenaBytes);
  std::memcpy(arena, x.data(), bytes);
  std::memcpy(arena + 8192, y.data(), bytes);
  std::vector<char> expected(arena, arena + kArenaBytes);
  const uint64_t c = in_place ? 0 : 16384;
  const size_t begin = 1, end = x.size() - 1;
  for (size_t i = begin; i < end; ++i) {
    const T value = sum(x[i], y[i]);
    std::memcpy(expected.data() + c + i * sizeof(T), &value, sizeof(T));
  }
  ring::SlotCopy copy{vgpu_submit_word(VGPU_OP_VECTOR_ADD, type, 1), {x.size(), 0, 8192, c}};
  Request request{};
  Decode(copy, limits, &request);
  ASSERT_EQ(request.code, VGPU_OK);
  Run(&request, limits, begin, end);
  EXPECT_EQ(std::memcmp(arena, expected.data(), kArenaBytes), 0)
      << "type " << type << ", in place " << in_place;
}

template <class T>
std::vector<T> Cross(const std::vector<T>& values, bool second) {
  std::vector<T> all;
  for (const T& x : values) {
    for (const T& y : values) all.push_back(second ? y : x);
  }
  return all;
}

template <class T>
std::vector<T> SpecialFloats() {
  using Limits = std::numeric_limits<T>;
  return {T(0),
          -T(0),
          T(1),
          T(-1),
          T(0.1),
          T(1) / 3,
          Limits::max(),
          Limits::lowest(),
          Limits::min(),
          Limits::denorm_min(),
          Limits::epsilon(),
          Limits::infinity()};
}

TEST_F(OperationsTest, VectorAdd_EveryTypeBitForBit) {
  const std::vector<uint32_t> i32 = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 12345};
  const std::vector<uint64_t> i64 = {0, 1, ~0ull >> 1, 1ull << 63, ~0ull, 1ull << 32};
  const auto wrap = [](auto x, auto y) { return x + y; };
  for (const bool in_place : {false, true}) {
    CheckVector<uint32_t>(arena(), Limits(), VGPU_TYPE_I32, Cross(i32, false), Cross(i32, true), in_place,
                          wrap);
    CheckVector<uint64_t>(arena(), Limits(), VGPU_TYPE_I64, Cross(i64, false), Cross(i64, true), in_place,
                          wrap);
    CheckVector<float>(arena(), Limits(), VGPU_TYPE_F32, Cross(SpecialFloats<float>(), false),
                       Cross(SpecialFloats<float>(), true), in_place, wrap);
    CheckVector<double>(arena(), Limits(), VGPU_TYPE_F64, Cross(SpecialFloats<double>(), false),
                        Cross(SpecialFloats<double>(), true), in_place, wrap);
  }
}

// Each operation of the table: decoded with its own number of operands, and computed by its own function.
TEST_F(OperationsTest, Vectors_EveryOperationIsThatOfItsRow) {
  operations::Vectors::VisitAll([&](auto at) {
    using At = decltype(at);
    using T = typename At::T;
    constexpr size_t kCount = 300;
    std::vector<T> x(kCount), y(kCount), z(kCount);
    for (size_t i = 0; i < kCount; ++i) {
      x[i] = static_cast<T>(i * 7 + 3);
      y[i] = static_cast<T>(kCount - i);
    }
    const T* const b = At::Row::kOperands == 2 ? y.data() : x.data();
    operations::ComputePlainly<typename At::Row>(x.data(), b, z.data(), kCount);
    std::memset(arena(), 0, kArenaBytes);
    std::memcpy(arena() + 4096, x.data(), kCount * sizeof(T));
    std::memcpy(arena() + 8192, y.data(), kCount * sizeof(T));
    ring::SlotCopy copy{vgpu_submit_word(At::Row::kOpcode, At::kType, 1), {kCount, 4096, 8192, 16384}};
    if (At::Row::kOperands == 1) copy.arg[2] = 16384;
    Request request{};
    Decode(copy, Limits(), &request);
    ASSERT_EQ(request.code, VGPU_OK) << At::Row::kName;
    EXPECT_EQ(request.op->gpu_job + request.type, gpu::VectorJob<typename At::Row>(At::kType));
    Execute(&request);
    EXPECT_EQ(std::memcmp(arena() + 16384, z.data(), kCount * sizeof(T)), 0)
        << At::Row::kName << " " << At::kType;
  });
}

// Whole lines far from the end, whole lines near it, and what is left.
TEST_F(OperationsTest, VectorAdd_EveryLength) {
  const auto wrap = [](auto x, auto y) { return x + y; };
  for (size_t count = 2; count < 200; ++count) {
    std::vector<uint32_t> x(count), y(count);
    std::vector<double> v(count), w(count);
    for (size_t i = 0; i < count; ++i) {
      x[i] = static_cast<uint32_t>(i * 0x9e3779b9u);
      y[i] = static_cast<uint32_t>(count * 31 + i);
      v[i] = static_cast<double>(i) / 3;
      w[i] = static_cast<double>(count) - v[i];
    }
    for (const bool in_place : {false, true}) {
      CheckVector<uint32_t>(arena(), Limits(), VGPU_TYPE_I32, x, y, in_place, wrap);
      CheckVector<double>(arena(), Limits(), VGPU_TYPE_F64, v, w, in_place, wrap);
    }
  }
}

TEST_F(OperationsTest, VectorAdd_NotANumberStaysOne) {
  auto* x = reinterpret_cast<float*>(arena());
  x[0] = std::numeric_limits<float>::quiet_NaN();
  x[1] = std::numeric_limits<float>::infinity();
  x[16] = 1;
  x[17] = -std::numeric_limits<float>::infinity();
  Request request = Decoded(VGPU_OP_VECTOR_ADD, VGPU_TYPE_F32, {2, 0, 64, 128});
  Execute(&request);
  EXPECT_TRUE(std::isnan(x[32]));
  EXPECT_TRUE(std::isnan(x[33]));
}

// ---- the window ring ----

TEST_F(OperationsTest, WindowRing_TakesWindowRequestsOnly) {
  for (uint32_t opcode = 0; opcode < 0x200; ++opcode) {
    const Request request = Decoded(opcode, 0, {32}, true);
    EXPECT_EQ(request.code, opcode == VGPU_OP_WINDOW ? VGPU_OK : VGPU_ERR_UNSUPPORTED) << opcode;
  }
}

TEST_F(OperationsTest, Window_Lengths) {
  auto code = [this](uint64_t length) { return Decoded(VGPU_OP_WINDOW, 0, {length}, true).code; };
  EXPECT_EQ(code(0), VGPU_ERR_INVALID_LENGTH);
  EXPECT_EQ(code(1), VGPU_OK);  // the message itself is refused: the response says so
  EXPECT_EQ(code(VGPU_WINDOW_BUF_BYTES), VGPU_OK);
  EXPECT_EQ(code(VGPU_WINDOW_BUF_BYTES + 1), VGPU_ERR_TOO_LARGE);
  EXPECT_EQ(code(~0ull), VGPU_ERR_TOO_LARGE);
  EXPECT_EQ(code((1ull << 32) + 1), VGPU_ERR_TOO_LARGE);
}

TEST_F(OperationsTest, Window_EachSlotHasItsOwnBuffers) {
  for (const uint32_t idx : {0u, 3u, 7u, 8u, 0xfffffffau}) {
    std::memset(arena(), 0, kArenaBytes);
    char* const request_at = arena() + (idx % VGPU_WINDOW_ENTRIES) * 2 * VGPU_WINDOW_BUF_BYTES;
    const vgpu_window_request nop{VGPU_WINDOW_VERSION, VGPU_WINDOW_OP_NOP, 0, 0, 0, 0, {}};
    std::memcpy(request_at, &nop, sizeof nop);
    Request request = Decoded(VGPU_OP_WINDOW, 0, {sizeof nop}, true, idx);
    ASSERT_EQ(request.code, VGPU_OK);
    Execute(&request);  // in the same arena
    EXPECT_EQ(request.code, VGPU_OK) << idx;
    EXPECT_EQ(request.result, sizeof(vgpu_window_response));
    vgpu_window_response response;
    std::memcpy(&response, request_at + VGPU_WINDOW_BUF_BYTES, sizeof response);
    EXPECT_EQ(response.version, VGPU_WINDOW_VERSION);
    EXPECT_EQ(std::memcmp(request_at, &nop, sizeof nop), 0) << "the request was overwritten";
  }
}

// ---- anything at all ----

// Values near what decode compares with: zero, the arena's end, powers of two, their neighbours; or any.
uint64_t HostileValue(std::mt19937_64* random) {
  const uint64_t near = (*random)() % 33 - 16;
  switch ((*random)() % 6) {
    case 0: return near;
    case 1: return kArenaBytes + near;
    case 2: return (uint64_t{1} << (*random)() % 64) + near;
    case 3: return (*random)() % kArenaBytes;
    case 4: return (*random)() % kArenaBytes & ~uint64_t{7};
    default: return (*random)();
  }
}

TEST_F(OperationsTest, RandomSlots_NeverPointOutsideTheArena) {
  const char* given = std::getenv("VGPU_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  SCOPED_TRACE("VGPU_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<uint32_t> opcodes = {VGPU_OP_WINDOW};
  for (const Operation& operation : Operations()) opcodes.push_back(operation.opcode);
  int accepted = 0;
  for (int i = 0; i < 300'000; ++i) {
    ring::SlotCopy copy;
    const uint32_t opcode_and_type = opcodes[random() % opcodes.size()] | uint32_t(random() % 5) << 16;
    copy.submit = random() % 8 == 0 ? random() : vgpu_word(opcode_and_type, 0);
    for (uint64_t& arg : copy.arg) arg = HostileValue(&random);
    const bool window = random() % 8 == 0;
    Request request{};
    request.idx = static_cast<uint32_t>(random());
    Decode(copy, Limits(window), &request);
    ASSERT_EQ(request.op == nullptr, request.code != VGPU_OK);
    if (request.op == nullptr) {
      ASSERT_TRUE(request.inline_run);  // it is answered by the loop
      continue;
    }
    ++accepted;
    const auto inside = [](uint64_t off, uint64_t bytes) {
      return bytes <= kArenaBytes && off <= kArenaBytes - bytes;
    };
    const auto [a, b, c] = request.at;
    const uint32_t opcode = request.op->opcode;
    if (opcode == VGPU_OP_DEVICE_INFO) {
      ASSERT_TRUE(inside(c, sizeof(vgpu_device_info)));
    } else if (operations::Vectors::Has(opcode)) {
      const uint64_t element = ElementBytes(request.type);
      ASSERT_LE(request.count, kArenaBytes / element);
      for (const uint64_t off : {a, b, c}) {
        ASSERT_TRUE(inside(off, request.count * element));
        ASSERT_EQ(off % element, 0u);
      }
    } else if (opcode == VGPU_OP_WINDOW) {
      ASSERT_TRUE(inside(a, request.count));
      ASSERT_TRUE(inside(c, VGPU_WINDOW_BUF_BYTES));
      ASSERT_LE(c + VGPU_WINDOW_BUF_BYTES, uint64_t{VGPU_WINDOW_ARENA_BYTES});
      ASSERT_LE(a + request.count, c);
    }
  }
  EXPECT_GT(accepted, 10'000) << "the random slots are all refused: this test proves little";
}

}  // namespace
}  // namespace vgpu::mediator
