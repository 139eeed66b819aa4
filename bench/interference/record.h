// SPDX-License-Identifier: Apache-2.0
// What a victim writes down, in memory that it shares with the harness: nothing of it waits for a disk.
#ifndef VGPU_BENCH_INTERFERENCE_RECORD_H_
#define VGPU_BENCH_INTERFERENCE_RECORD_H_

#include <atomic>
#include <cstdint>

namespace vgpu::bench::interference {

// One answer. Records are in the order of their requests.
struct Record {
  int64_t due_ns = 0;      // when the request was to be sent (CLOCK_MONOTONIC)
  int64_t latency_ns = 0;  // from then until its answer was seen
  uint32_t blind_us = 0;   // of these the victim itself did not run: somebody else had its processor
  uint32_t wrong = 0;      // the answer's code, or kWrongResult
};
inline constexpr uint32_t kWrongResult = 0x100;

// At the start of the file; the records follow.
struct RecordHeader {
  std::atomic<uint64_t> count;  // of records that are complete
  uint64_t room;                // for so many
  std::atomic<uint64_t> lost;   // requests without an answer, at the end
  uint64_t pad[5];
};
static_assert(sizeof(RecordHeader) == 64);

inline uint64_t RecordFileBytes(uint64_t room) { return sizeof(RecordHeader) + room * sizeof(Record); }

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_RECORD_H_
