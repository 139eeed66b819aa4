// SPDX-License-Identifier: Apache-2.0
#include "bench/vectors.h"

#include <algorithm>
#include <stdexcept>

#include "api/vector.h"
#include "ring/abi.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kStepMax = 16 * 1024;
constexpr uint64_t kSamplesMin = 16;
constexpr uint64_t kSlack = 4096;  // of an arena, for the alignment of what lies in it

uint64_t OffsetOf(const guest::Client& client, const uint32_t* part) {
  return static_cast<uint64_t>(reinterpret_cast<const char*>(part) - client.arena_data());
}

uint32_t Mix(uint64_t value) { return static_cast<uint32_t>((value + 1) * 0x9e3779b97f4a7c15ull >> 32); }

}  // namespace

uint64_t RegionFor(const VectorPlan& plan) {
  const uint64_t needed = 3 * plan.bytes * plan.depth + kSlack;
  for (uint64_t bytes = 1 << 20; bytes <= VGPU_REGION_BYTES_MAX; bytes *= 2) {
    vgpu_layout layout;
    const bool valid = vgpu_layout_make(bytes, plan.rings, VGPU_ENTRIES_DEFAULT, &layout) == 0;
    if (valid && layout.arena_bytes >= needed) return bytes;
  }
  throw std::runtime_error("no region is large enough for these vectors");
}

Vectors::Vectors(uint32_t* a, uint32_t* b, uint32_t* c, uint64_t count)
    : a_(a), b_(b), c_(c), count_(count), step_(std::clamp<uint64_t>(count / kSamplesMin, 1, kStepMax)) {
  for (uint64_t i = 0; i < count; ++i) {
    a_[i] = Mix(2 * i);
    b_[i] = Mix(2 * i + 1);
  }
}

uint64_t Vectors::Place(uint64_t sample) const { return sample * step_ + Mix(serial_ + sample) % step_; }

void Vectors::Prepare() {
  ++serial_;
  for (uint64_t sample = 0; sample < count_ / step_; ++sample) {
    const uint64_t i = Place(sample);
    a_[i] = Mix(serial_ ^ i);
    c_[i] = ~(a_[i] + b_[i]);
  }
}

bool Vectors::SamplesRight() const {
  for (uint64_t sample = 0; sample < count_ / step_; ++sample) {
    const uint64_t i = Place(sample);
    if (c_[i] != a_[i] + b_[i]) return false;
  }
  return true;
}

bool Vectors::AllRight() const {
  uint64_t wrong = 0;
  for (uint64_t i = 0; serial_ != 0 && i < count_; ++i) wrong += c_[i] != a_[i] + b_[i];
  return wrong == 0;
}

Vectors VectorsIn(guest::Client& client, uint64_t bytes) {
  uint32_t* parts[3];
  for (uint32_t*& part : parts) {
    auto buffer = client.Allocate(bytes);
    if (!buffer) throw std::runtime_error(buffer.error().text);
    part = buffer->as<uint32_t>();
    buffer->Abandon();
  }
  return {parts[0], parts[1], parts[2], bytes / sizeof(uint32_t)};
}

uint32_t SendVectorAdd(guest::Client& client, const Vectors& vectors) {
  return client.VectorAdd(VGPU_TYPE_I32, vectors.count(), OffsetOf(client, vectors.a()), OffsetOf(client, vectors.b()),
                          OffsetOf(client, vectors.c()));
}

uint32_t SendDoubling(guest::Client& client, const Vectors& vectors) {
  const uint64_t a = OffsetOf(client, vectors.a());
  return client.VectorAdd(VGPU_TYPE_I32, vectors.count(), a, a, OffsetOf(client, vectors.c()));
}

}  // namespace vgpu::bench
