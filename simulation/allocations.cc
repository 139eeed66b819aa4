// SPDX-License-Identifier: Apache-2.0
#include "simulation/allocations.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace vgpu::simulation {
namespace {

Allocations::Whose g_whose = Allocations::Whose::kOthers;
uint64_t g_daemons = 0;

}  // namespace

Allocations::Allocations(Whose whose) : before_(std::exchange(g_whose, whose)) {}

Allocations::~Allocations() { g_whose = before_; }

uint64_t Allocations::TakeDaemons() { return std::exchange(g_daemons, 0); }

// Called by operator new.
void CountAllocation() {
  if (g_whose == Allocations::Whose::kDaemons) ++g_daemons;
}

}  // namespace vgpu::simulation

void* operator new(size_t bytes) {
  vgpu::simulation::CountAllocation();
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, size_t) noexcept { std::free(memory); }
