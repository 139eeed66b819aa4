// SPDX-License-Identifier: Apache-2.0
// Pages that vanish: no seal forbids holes, and who touches a page in a range that is being punched waits for
// the punch.
#include <sys/mman.h>

#include <algorithm>
#include <random>
#include <thread>

#include "bench/interference/attack.h"

namespace vgpu::bench::interference {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2 << 20;

void SayPunches(const std::atomic<uint64_t>& punches, const std::atomic<int64_t>& longest_ns) {
  Say("%lu punches, the longest took %.3f ms", static_cast<unsigned long>(punches.load()),
      static_cast<double>(longest_ns.load()) / 1e6);
}

void AskForSmallVectors(Vm* vm) {
  constexpr uint64_t kElements = 1024;
  TakeAnswers(vm, 0);
  while (vm->producer(0).outstanding() < 8) vm->AddVectors(0, kElements, 0, 4 * kElements, 8 * kElements);
  vm->Flush(0);
}

// The whole region at once, over and over, while the ring is kept polled. --refill 1: its pages are made anew
// each time. --rings-file 0: ring lines are in it, as those of earlier releases' owners; --vectors 1: small
// vectors touch it all the time.
void PunchAll(const Args& args) {
  const auto vm = Attached(args, args.Vm(1, 64, 64 << 20));
  const bool vectors = args.Number("--vectors", 0) != 0;
  const bool refill = args.Number("--refill", 0) != 0;
  std::atomic<uint64_t> punches{0};
  std::atomic<int64_t> longest_ns{0};
  Ready();
  std::thread puncher([&] {
    for (; !g_stop; ++punches) {
      if (refill) Populate(vm->region(), vm->options().bytes);
      const int64_t begin_ns = NowNs();
      Punch(vm->region_fd(), 0, vm->options().bytes);
      longest_ns = std::max(longest_ns.load(), NowNs() - begin_ns);
    }
  });
  for (; !g_stop; SleepNs(20'000)) {
    if (vectors) AskForSmallVectors(vm.get());
    vm->Kick(0);
  }
  puncher.join();
  SayPunches(punches, longest_ns);
}

// The largest rings file at once, over and over, while a ring is kept polled.
void PunchRings(const Args& args) {
  const auto vm = Attached(args, args.Vm(VGPU_RINGS_MAX, VGPU_ENTRIES_MAX, 16 << 20));
  const uint64_t bytes = vgpu_rings_bytes(&vm->layout());
  std::atomic<uint64_t> punches{0};
  std::atomic<int64_t> longest_ns{0};
  Ready();
  std::thread puncher([&] {
    for (; !g_stop; ++punches) {
      Populate(vm->region(), vm->options().bytes);
      const int64_t begin_ns = NowNs();
      Punch(vm->rings_fd(), 0, bytes);
      longest_ns = std::max(longest_ns.load(), NowNs() - begin_ns);
    }
  });
  for (; !g_stop; SleepNs(20'000)) vm->Kick(0);
  puncher.join();
  SayPunches(punches, longest_ns);
}

// Small holes in the operands of vectors while these are added.
void PunchOperands(const Args& args) {
  const auto vm = Attached(args, args.Vm(1, 64, 64 << 20));
  const auto count = static_cast<uint64_t>(args.Number("--count", 1 << 20));
  const uint64_t bytes = count * sizeof(uint32_t), arena = vm->layout().ring_off + vm->layout().arena_off;
  if (3 * bytes > vm->layout().arena_bytes) Die("the arena is too small for these vectors");
  std::atomic<uint64_t> punches{0};
  Ready();
  std::thread puncher([&] {
    std::mt19937_64 random(static_cast<uint64_t>(args.Number("--seed", 1)));
    for (; !g_stop; ++punches) {
      Punch(vm->region_fd(), (arena + random() % (3 * bytes)) & ~(kPage - 1), (1 + random() % 64) * kPage);
    }
  });
  uint64_t vectors = 0;
  for (; !g_stop; SleepNs(100'000)) {
    vectors += TakeAnswers(vm.get(), 0);
    while (vm->producer(0).outstanding() < 8) vm->AddVectors(0, count, 0, bytes, 2 * bytes);
    vm->Flush(0);
  }
  puncher.join();
  Say("%lu vectors, %lu punches", static_cast<unsigned long>(vectors),
      static_cast<unsigned long>(punches.load()));
}

// Small vectors on huge pages that were just dropped: whoever adds them must clear 2 MiB for each page.
void PunchHugePages(const Args& args) {
  const auto pages = static_cast<uint64_t>(args.Number("--pages", 16));
  VmOptions options = args.Vm(1, 64, pages * kHugePage);
  options.memfd_flags = MFD_HUGETLB;
  const auto vm = Attached(args, options);
  const uint64_t arena = vm->layout().ring_off + vm->layout().arena_off;
  constexpr uint64_t kElements = 1024;
  Ready();
  uint64_t vectors = 0;
  while (!g_stop) {
    Punch(vm->region_fd(), kHugePage, (pages - 1) * kHugePage);
    for (uint64_t i = 1; i + 2 < pages && !vm->producer(0).full(); i += 3) {
      const auto at = [&](uint64_t page) { return page * kHugePage - arena; };
      vm->AddVectors(0, kElements, at(i), at(i + 1), at(i + 2));
      ++vectors;
    }
    vm->Flush(0);
    const int64_t end_ns = NowNs() + 100'000'000;
    while (vm->producer(0).outstanding() != 0 && NowNs() < end_ns) TakeAnswers(vm.get(), 0);
  }
  Say("%lu vectors", static_cast<unsigned long>(vectors));
}

constexpr Attack kAttacks[] = {{"punch-all", PunchAll},
                               {"punch-rings", PunchRings},
                               {"punch-operands", PunchOperands},
                               {"punch-huge-pages", PunchHugePages}};

}  // namespace

std::span<const Attack> MemoryAttacks() { return kAttacks; }

}  // namespace vgpu::bench::interference
