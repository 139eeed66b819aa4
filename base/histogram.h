// SPDX-License-Identifier: Apache-2.0
// A histogram of unsigned values (nanoseconds, mostly) over the whole 64-bit range: values below 128 exactly,
// larger ones within 1/64 (1.6 %). Of fixed size, so that two of them merge
// exactly and Record allocates nothing.
#ifndef VGPU_BASE_HISTOGRAM_H_
#define VGPU_BASE_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/published.h"

namespace vgpu::base {

// Log-linear: each power of two is cut into 64 equal buckets. About 30 KiB.
// `Number<T>` holds one of its numbers.
template <template <class> class Number>
class BasicHistogram {
 public:
  void Record(uint64_t value) { RecordMany(value, 1); }

  void RecordMany(uint64_t value, uint64_t times) {
    if (times == 0) return;
    buckets_[BucketOf(value)] += times;
    count_ += times;
    sum_ += static_cast<double>(value) * static_cast<double>(times);
    if (value < min_) min_ = value;
    if (value > max_) max_ = value;
  }

  // Afterwards this is as if every value of `other` had been recorded here.
  template <template <class> class Others>
  void Merge(const BasicHistogram<Others>& other) {
    const uint64_t count = other.count();
    if (count == 0) return;
    for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.bucket(i);
    count_ += count;
    sum_ += other.sum();
    min_ = std::min<uint64_t>(min_, other.min());
    max_ = std::max<uint64_t>(max_, other.max());
  }

  void Reset() { *this = BasicHistogram(); }

  uint64_t count() const { return count_; }
  uint64_t min() const { return count_ == 0 ? 0 : uint64_t{min_}; }  // exact
  uint64_t max() const { return max_; }                              // exact
  double sum() const { return sum_; }
  double mean() const { return count_ == 0 ? 0.0 : sum_ / static_cast<double>(uint64_t{count_}); }

  // The value of the nearest rank: at least `percent` (0..100) of all values are not above it. Never below
  // the true value, and above it by at most 1/64. 0 when nothing was recorded.
  uint64_t Percentile(double percent) const {
    if (count_ == 0) return 0;
    const double share = std::clamp(percent, 0.0, 100.0) / 100.0;
    const double exact_rank = std::ceil(share * static_cast<double>(uint64_t{count_}));
    const uint64_t rank = std::clamp<uint64_t>(static_cast<uint64_t>(exact_rank), 1, count_);
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen >= rank) return std::clamp<uint64_t>(HighestOf(i), min_, max_);
    }
    return max_;
  }

  // For those who draw or export it: the buckets in rising order, and the highest value that falls into each.
  static constexpr size_t bucket_count() { return kBuckets; }
  uint64_t bucket(size_t i) const { return buckets_[i]; }
  static constexpr uint64_t HighestOf(size_t bucket) {
    if (bucket < kExact) return bucket;
    const uint32_t shift = static_cast<uint32_t>(bucket >> kSubBits) - 1;
    const uint64_t top = (bucket & (kSub - 1)) | kSub;
    return (top << shift) | ((uint64_t{1} << shift) - 1);
  }
  static constexpr size_t BucketOf(uint64_t value) {
    if (value < kExact) return static_cast<size_t>(value);
    const uint32_t shift = static_cast<uint32_t>(std::bit_width(value)) - kSubBits - 1;
    return (size_t{shift} << kSubBits) + static_cast<size_t>(value >> shift);
  }

 private:
  static constexpr uint32_t kSubBits = 6;
  static constexpr size_t kSub = size_t{1} << kSubBits;
  static constexpr size_t kExact = 2 * kSub;
  static constexpr size_t kBuckets = (64 - kSubBits + 1) * kSub;

  std::array<Number<uint64_t>, kBuckets> buckets_{};
  Number<uint64_t> count_ = 0;
  Number<uint64_t> min_ = UINT64_MAX;
  Number<uint64_t> max_ = 0;
  Number<double> sum_ = 0;
};

template <class T>
using Plain = T;
// Single-threaded.
using Histogram = BasicHistogram<Plain>;
// One thread records, any thread may merge it into one of its own. What is recorded meanwhile may be in part
// of it only.
using PublishedHistogram = BasicHistogram<Published>;

}  // namespace vgpu::base

#endif  // VGPU_BASE_HISTOGRAM_H_
