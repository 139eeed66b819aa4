// SPDX-License-Identifier: Apache-2.0
// The device code. Loaded from an image inside the host program (kernels.h); launched by name.
//
// Everything here that crosses the bus is an aligned 8-byte word: 32 bits of data, 32 bits of sequence. Wider accesses
// are not single copies.
#include "gpu/resident_abi.h"

namespace {

__device__ uint64_t LoadWord(const uint64_t* word) {
  return *const_cast<const volatile uint64_t*>(word);
}

// Two words, each read whole, in one access of the bus; they need not be of the same moment.
__device__ void LoadPair(const uint64_t* pair, uint64_t* first, uint64_t* second) {
  asm volatile("ld.volatile.global.v2.u64 {%0, %1}, [%2];" : "=l"(*first), "=l"(*second) : "l"(pair) : "memory");
}

// One word that carries all that it says: nothing before it need be visible first.
__device__ void StoreWord(uint64_t* word, uint64_t value) {
  asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

template <class T, class Sum>
__device__ void VectorAdd(const T* a, const T* b, T* c, uint64_t count, Sum sum) {
  const uint64_t step = uint64_t{gridDim.x} * blockDim.x;
  for (uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) c[i] = sum(a[i], b[i]);
}

}  // namespace

// Stays on the GPU and answers ADDs. Thread e polls entry e of the ring, and nothing else: no thread waits for another.
// While it waits it reads half of its entry, which keeps the bus free. It leaves when the host says so in `stop`, at which
// it looks about once a millisecond.
//
// Both words that it writes carry their data and their sequence, so there is no fence (docs/adr/0005-resident-kernel.md has
// what fences cost). The host must not rely on their order.
extern "C" __global__ void VgpuResident(VgpuResidentRing* ring) {
  constexpr uint32_t kLooksPerStop = 1024;
  const uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
  const uint64_t* request = ring->entries[e].word;
  uint32_t lap = 1;
  for (uint32_t looks = 1;; ++looks) {
    uint64_t a, b, to, tag;
    LoadPair(request + VGPU_RESIDENT_A, &a, &b);
    if (a >> 32 != lap || b >> 32 != lap) {
      if (looks % kLooksPerStop == 0 && LoadWord(&ring->stop) != 0) return;
      continue;
    }
    LoadPair(request + VGPU_RESIDENT_TO, &to, &tag);
    if (to >> 32 != lap || tag >> 32 != lap) continue;
    const uint32_t place = static_cast<uint32_t>(to);
    uint64_t* slots = ring->slots[place >> VGPU_RESIDENT_SLOT_BITS];
    uint64_t* done = slots + (place & ((1u << VGPU_RESIDENT_SLOT_BITS) - 1)) * VGPU_RESIDENT_SLOT_WORDS + 1;
    const uint32_t sum = static_cast<uint32_t>(a) + static_cast<uint32_t>(b);
    StoreWord(done, (tag & 0xffffffffu) << 32 | sum);
    StoreWord(&ring->finished[e], uint64_t{lap} << 32 | sum);
    if (++lap == 0) lap = 1;
  }
}

extern "C" __global__ void VgpuVectorAddI32(const uint32_t* a, const uint32_t* b, uint32_t* c, uint64_t count) {
  VectorAdd(a, b, c, count, [](uint32_t x, uint32_t y) { return x + y; });
}
extern "C" __global__ void VgpuVectorAddI64(const uint64_t* a, const uint64_t* b, uint64_t* c, uint64_t count) {
  VectorAdd(a, b, c, count, [](uint64_t x, uint64_t y) { return x + y; });
}
// Rounded to nearest, never fused, subnormals kept: the same bits as the CPU, but for a NaN's payload.
extern "C" __global__ void VgpuVectorAddF32(const float* a, const float* b, float* c, uint64_t count) {
  VectorAdd(a, b, c, count, [](float x, float y) { return __fadd_rn(x, y); });
}
extern "C" __global__ void VgpuVectorAddF64(const double* a, const double* b, double* c, uint64_t count) {
  VectorAdd(a, b, c, count, [](double x, double y) { return __dadd_rn(x, y); });
}

// For benchmarks and tests: every block keeps its processor busy for about `ns` nanoseconds.
extern "C" __global__ void VgpuBusy(uint64_t ns) {
  uint64_t begin, now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  } while (now - begin < ns);
}
