// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/vectors.h"

#include <algorithm>

namespace vgpu::bench {
namespace {

constexpr uint64_t kStepMax = 16 * 1024;
constexpr uint64_t kSamplesMin = 16;

uint32_t Mix(uint64_t value) { return static_cast<uint32_t>((value + 1) * 0x9e3779b97f4a7c15ull >> 32); }

}  // namespace

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

}  // namespace vgpu::bench
