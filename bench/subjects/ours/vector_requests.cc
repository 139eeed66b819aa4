// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/vector_requests.h"

#include <stdexcept>

#include "api/vector.h"
#include "ring/abi.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kSlack = 4096;  // of an arena, for the alignment of what lies in it

uint64_t OffsetOf(const guest::Client& client, const uint32_t* part) {
  return static_cast<uint64_t>(reinterpret_cast<const char*>(part) - client.arena_data());
}

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
  return client.VectorAdd(VGPU_TYPE_I32, vectors.count(), OffsetOf(client, vectors.a()),
                          OffsetOf(client, vectors.b()), OffsetOf(client, vectors.c()));
}

uint32_t SendDoubling(guest::Client& client, const Vectors& vectors) {
  const uint64_t a = OffsetOf(client, vectors.a());
  return client.VectorAdd(VGPU_TYPE_I32, vectors.count(), a, a, OffsetOf(client, vectors.c()));
}

}  // namespace vgpu::bench
