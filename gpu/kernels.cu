// SPDX-License-Identifier: Apache-2.0
// The device code. Loaded from an image inside the host program (kernels.h); launched by name.
//
// Everything here that crosses the bus is an aligned 8-byte word: 32 bits of data, 32 bits of sequence. Wider
// accesses are not single copies.
#include <cstdint>
#include <utility>

#include "api/codes.h"
#include "gpu/batch_abi.h"
#include "gpu/resident_abi.h"
#include "operations/table.h"

namespace {

using vgpu::operations::Vectors;

__device__ uint64_t LoadWord(const uint64_t* word) { return *const_cast<const volatile uint64_t*>(word); }

// Two words, each read whole, in one access of the bus; they need not be of the same moment.
__device__ void LoadPair(const uint64_t* pair, uint64_t* first, uint64_t* second) {
  asm volatile("ld.volatile.global.v2.u64 {%0, %1}, [%2];"
               : "=l"(*first), "=l"(*second)
               : "l"(pair)
               : "memory");
}

// One word that carries all that it says: nothing before it need be visible first.
__device__ void StoreWord(uint64_t* word, uint64_t value) {
  asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

__device__ uint64_t Nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

template <class T>
struct alignas(16) Pack {
  T value[16 / sizeof(T)];
};

// In place (c is a or b) each element is read before it is written, by the thread that writes it.
template <class Row, class T>
__device__ void ComputeVector(const VgpuJob& job) {
  constexpr uint64_t kPack = 16 / sizeof(T);
  const T* a = reinterpret_cast<const T*>(job.a);
  const T* b = reinterpret_cast<const T*>(job.b);
  T* c = reinterpret_cast<T*>(job.c);
  const uint64_t step = uint64_t{gridDim.x} * blockDim.x;
  const uint64_t thread = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  uint64_t rest = 0;  // first element that is not in a pack
  if (((job.a | job.b | job.c) & 15) == 0) {
    const uint64_t packs = job.count / kPack;
    for (uint64_t i = thread; i < packs; i += step) {
      const Pack<T> x = reinterpret_cast<const Pack<T>*>(a)[i];
      const Pack<T> y = reinterpret_cast<const Pack<T>*>(b)[i];
      Pack<T> z;
      for (uint64_t k = 0; k < kPack; ++k) Row::Compute(x.value[k], y.value[k], &z.value[k]);
      reinterpret_cast<Pack<T>*>(c)[i] = z;
    }
    rest = packs * kPack;
  }
  for (uint64_t i = rest + thread; i < job.count; i += step) {
    const T x = a[i];
    const T y = b[i];
    T z;
    Row::Compute(x, y, &z);
    c[i] = z;
  }
}

template <uint32_t kNumber>
__device__ bool ComputeIf(const VgpuJob& job) {
  using At = Vectors::At<kNumber>;
  if constexpr (At::kExists) {
    if (job.kind == VGPU_JOB_VECTORS + kNumber) {
      ComputeVector<typename At::Row, typename At::T>(job);
      return true;
    }
  }
  return false;
}

// False: the job is none with vectors.
template <uint32_t... kNumbers>
__device__ bool ComputeVectors(const VgpuJob& job, std::integer_sequence<uint32_t, kNumbers...>) {
  return (ComputeIf<kNumbers>(job) || ...);
}

// Everything that the blocks of a job wrote is visible to the host before its completion word is.
__device__ void EndJob(const VgpuJob& job, uint32_t data, uint32_t code) {
  __syncthreads();
  if (threadIdx.x != 0) return;
  if (gridDim.x > 1) {
    if (job.done != nullptr) __threadfence_system();
    if (atomicAdd(job.left, 1u) != gridDim.x - 1) return;
    *job.left = 0;
  }
  if (job.when != nullptr) StoreWord(job.when, Nanoseconds());
  if (job.done == nullptr) return;
  __threadfence_system();
  StoreWord(job.done, uint64_t{job.seq | code} << 32 | data);
}

}  // namespace

// Stays on the GPU and answers ADDs. Thread e polls entry e of the ring, and nothing else: no thread waits
// for another. While it waits it reads only half of its entry, to leave more of the bus to others. It leaves
// when the host says so in `stop`, which it reads once in 64 looks at its entry: each 0.1 ms or so, or a
// millisecond where copies fill the bus.
//
// Both words that it writes carry their data and their sequence, so there is no fence
// (docs/adr/0005-resident-kernel.md has what fences cost). The host must not rely on their order.
extern "C" __global__ void VgpuResident(VgpuResidentRing* ring) {
  constexpr uint32_t kPollsPerStop = 64;
  constexpr uint32_t kPollsPerClock = 2;  // a look takes 15 us where copies fill the bus
  const uint32_t e = blockIdx.x * blockDim.x + threadIdx.x;
  const uint64_t* request = ring->entries[e].word;
  uint32_t lap = 1;
  uint64_t gaps = 0;
  uint64_t seen_ns = Nanoseconds();
  for (uint32_t polls = 1;; ++polls) {
    if (e == 0 && polls % kPollsPerClock == 0) {
      const uint64_t now = Nanoseconds();
      if (now - seen_ns > VGPU_RESIDENT_GAP_NS) StoreWord(&ring->gaps, ++gaps);
      seen_ns = now;
    }
    uint64_t a, b, to, tag;
    LoadPair(request + VGPU_RESIDENT_A, &a, &b);
    if (a >> 32 != lap || b >> 32 != lap) {
      if (polls % kPollsPerStop == 0 && LoadWord(&ring->stop) != 0) return;
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

// blockIdx.y counts the jobs; the blocks of one job share its elements.
extern "C" __global__ void VgpuBatchKernel(const __grid_constant__ VgpuBatch batch) {
  const VgpuJob& job = batch.jobs[blockIdx.y];
  uint32_t data = 0;
  uint32_t code = VGPU_OK;
  switch (job.kind) {
    case VGPU_JOB_ADD:
      data = static_cast<uint32_t>(job.a) + static_cast<uint32_t>(job.a >> 32);
      if (blockIdx.x == 0 && threadIdx.x == 0)
        StoreWord(reinterpret_cast<uint64_t*>(job.c), job.b << 32 | data);
      break;
#ifdef VGPU_CRASH_POINTS
    case VGPU_JOB_FAULT: *reinterpret_cast<volatile uint32_t*>(uint64_t{16}) = 1; break;
    case VGPU_JOB_HANG:
      while (LoadWord(reinterpret_cast<const uint64_t*>(job.a)) != ~uint64_t{0}) {}
      break;
#endif
    default:
      if (!ComputeVectors(job, std::make_integer_sequence<uint32_t, Vectors::kNumbers>())) {
        code = VGPU_ERR_UNSUPPORTED;
      }
  }
  EndJob(job, data, code);
}

// The simplest kernel that a program of its own would launch: the benchmarks' baseline.
extern "C" __global__ void VgpuNativeAdd(const uint32_t* a, const uint32_t* b, uint32_t* c, uint64_t count) {
  const uint64_t step = uint64_t{gridDim.x} * blockDim.x;
  for (uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) c[i] = a[i] + b[i];
}

// For benchmarks and tests: every block keeps its processor busy for about `ns` nanoseconds.
extern "C" __global__ void VgpuBusy(uint64_t ns) {
  const uint64_t begin = Nanoseconds();
  while (Nanoseconds() - begin < ns) {}
}
