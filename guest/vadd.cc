// SPDX-License-Identifier: Apache-2.0
#include "guest/vadd.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>
#include <vector>

#include "api/codes.h"
#include "api/vector.h"
#include "base/duration.h"
#include "guest/cli.h"
#include "guest/interrupt.h"

namespace vgpu::guest {
namespace {

template <class T>
T Sum(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

template <class T>
bool Same(T got, T expected) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(expected)) return std::isnan(got);
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    return std::bit_cast<Bits>(got) == std::bit_cast<Bits>(expected);
  } else {
    return got == expected;
  }
}

template <class T>
T RandomValue(Random& random) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return std::bit_cast<T>(static_cast<Bits>(random.Next() >> (64 - 8 * sizeof(T))));
}

struct Vectors {
  Buffer a;
  Buffer b;
  std::optional<Buffer> c;  // none: in place

  const Buffer& sum() const { return c ? *c : a; }
  void Abandon() {
    a.Abandon();
    b.Abandon();
    if (c) c->Abandon();
  }
};

Result<Vectors> MakeVectors(Client& client, uint64_t bytes, bool in_place) {
  auto a = client.Allocate(bytes);
  if (!a) return tl::make_unexpected(a.error());
  auto b = client.Allocate(bytes);
  if (!b) return tl::make_unexpected(b.error());
  Vectors vectors{std::move(*a), std::move(*b), std::nullopt};
  if (in_place) return vectors;
  auto c = client.Allocate(bytes);
  if (!c) return tl::make_unexpected(c.error());
  vectors.c = std::move(*c);
  return vectors;
}

bool Stopped(const VaddPlan& plan) { return plan.stop != nullptr && plan.stop->load(); }

// Sends one piece and adds what it found to *result. `expected` has room for `count` elements.
template <class T>
Result<void> AddPiece(Client& client, const VaddPlan& plan, uint64_t count, Random& random, Vectors& vectors,
                      std::vector<T>& expected, VaddResult* result) {
  T* a = vectors.a.as<T>();
  T* b = vectors.b.as<T>();
  for (uint64_t i = 0; i < count; ++i) {
    const T left = RandomValue<T>(random);
    const T right = RandomValue<T>(random);
    a[i] = left;
    b[i] = right;
    expected[i] = Sum(left, right);
  }
  const TimePoint begin = Clock::now();
  const uint32_t idx =
      client.VectorAdd(plan.type, count, vectors.a.offset(), vectors.b.offset(), vectors.sum().offset());
  auto answer = client.Wait(idx, begin + plan.timeout, plan.stop);
  result->waited += Clock::now() - begin;
  ++result->requests;
  if (!answer) {
    vectors.Abandon();
    return tl::make_unexpected(answer.error());
  }
  if (answer->code != VGPU_OK) return tl::make_unexpected(Refused(answer->code));
  const T* sum = vectors.sum().as<T>();
  for (uint64_t i = 0; i < count; ++i) result->wrong += Same(sum[i], expected[i]) ? 0 : 1;
  result->count += count;
  return {};
}

// The longest piece that the arena's largest hole holds, with every vector in whole
// cache lines, within the limit.
uint64_t PieceOf(const Client& client, const VaddPlan& plan, uint64_t vector_max) {
  const uint64_t vectors = plan.in_place ? 2 : 3;
  const uint64_t room = client.arena_largest() / vectors / Arena::kAlign * Arena::kAlign;
  return std::min({plan.count, room / TypeBytes(plan.type), vector_max});
}

template <class T>
Result<VaddResult> VaddAs(Client& client, const VaddPlan& plan, uint64_t piece) {
  auto vectors = MakeVectors(client, piece * sizeof(T), plan.in_place);
  if (!vectors) return tl::make_unexpected(vectors.error());
  Random random(plan.seed);
  std::vector<T> expected(piece);
  VaddResult result;
  while (result.count < plan.count && !Stopped(plan)) {
    const uint64_t count = std::min(piece, plan.count - result.count);
    auto added = AddPiece<T>(client, plan, count, random, *vectors, expected, &result);
    if (!added && Stopped(plan)) break;
    if (!added && result.count == 0) return tl::make_unexpected(added.error());
    if (!added) {
      result.error = added.error();
      break;
    }
    if (plan.progress != nullptr) plan.progress->ShowIfDue(result.count, plan.count, result.wrong);
  }
  return result;
}

}  // namespace

const char* TypeName(uint32_t type) {
  static constexpr const char* kNames[] = {"i32", "i64", "f32", "f64"};
  return type <= VGPU_TYPE_F64 ? kNames[type] : nullptr;
}

uint32_t TypeBytes(uint32_t type) { return type == VGPU_TYPE_I32 || type == VGPU_TYPE_F32 ? 4 : 8; }

Result<VaddResult> Vadd(Client& client, const VaddPlan& plan) {
  auto info = client.Info(Clock::now() + plan.timeout);
  if (!info) return tl::make_unexpected(info.error());
  const uint64_t piece = PieceOf(client, plan, info->vector_max);
  if (piece == 0) {
    return Fail(VGPU_ERR_NO_ARENA,
                fmt::format("the arena of ring {} is too small for any vector: give the VM a larger "
                            "region or fewer rings",
                            client.ring_idx()));
  }
  switch (plan.type) {
    case VGPU_TYPE_I32: return VaddAs<int32_t>(client, plan, piece);
    case VGPU_TYPE_I64: return VaddAs<int64_t>(client, plan, piece);
    case VGPU_TYPE_F32: return VaddAs<float>(client, plan, piece);
    case VGPU_TYPE_F64: return VaddAs<double>(client, plan, piece);
    default: return Fail(VGPU_ERR_BAD_ARGUMENT, fmt::format("there is no element type {}", plan.type));
  }
}

int RunVadd(const Options& options, const VaddArgs& args) {
  auto client = OpenClient(options);
  if (!client) return Report(options, client.error());
  const Interrupt interrupt;
  Progress progress("vadd");
  const VaddPlan plan = {args.count,        args.type,        args.in_place,      options.timeout(),
                         SeedOf(args.seed), interrupt.flag(), progress.if_shown()};
  auto result = Vadd(**client, plan);
  if (!result) return Report(options, result.error());
  const End end = {result->count < plan.count && !result->error, result->error};
  const double seconds = std::chrono::duration<double>(result->waited).count();
  const double gigabytes = static_cast<double>(result->count) * TypeBytes(plan.type) * 3 / 1e9;
  const double rate = seconds > 0 ? gigabytes / seconds : 0;
  if (options.json) {
    nlohmann::json json = {{"count", result->count},
                           {"type", TypeName(plan.type)},
                           {"in_place", plan.in_place},
                           {"wrong", result->wrong},
                           {"requests", result->requests},
                           {"seconds", seconds},
                           {"gb_per_s", rate},
                           {"seed", plan.seed}};
    end.AddTo(&json);
    cli::PrintJson(json);
  } else {
    cli::Print("{} elements of {}{}, {} wrong, seed {}{}\n{} requests, {}, {:.2f} GB/s\n", result->count,
               TypeName(plan.type), plan.in_place ? " in place" : "", result->wrong, plan.seed, end.text(),
               result->requests, base::DurationText(result->waited), rate);
  }
  return Finish(end, result->count, result->wrong);
}

}  // namespace vgpu::guest
