// SPDX-License-Identifier: Apache-2.0
// What a hostile guest can do: it has the rings, the arena and the doorbells.
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <random>

#include "bench/interference/attack.h"

namespace vgpu::bench::interference {
namespace {

// The control: nobody does anything.
void Nothing(const Args&) {
  Ready();
  AwaitStop();
}

// Keeps `depth` requests outstanding on each ring: ADDs, or (the yardstick) NOPs.
void Flood(const Args& args) {
  const auto vm = Attached(args, args.Vm(1, 1024, 4 << 20));
  const uint32_t depth = std::min(static_cast<uint32_t>(args.Number("--depth", 1024)), vm->options().entries);
  const bool nops = args.Number("--nops", 0) != 0;
  Ready();
  uint64_t done = 0;
  while (!g_stop) {
    for (uint32_t q = 0; q < vm->options().rings; ++q) {
      done += TakeAnswers(vm.get(), q);
      while (vm->producer(q).outstanding() < depth) nops ? vm->Nop(q) : vm->Add(q, 1, 2);
      vm->Flush(q);
    }
  }
  Say("%lu requests answered", static_cast<unsigned long>(done));
}

// The same with vectors of --count elements: small ones are added by the loop,
// long ones in pieces by a worker.
void VectorFlood(const Args& args) {
  const auto vm = Attached(args, args.Vm(1, 64, 64 << 20));
  const auto count = static_cast<uint64_t>(args.Number("--count", 1 << 20));
  const auto depth = static_cast<uint32_t>(args.Number("--depth", 32));
  const uint64_t bytes = count * sizeof(uint32_t);
  if (3 * bytes > vm->layout().arena_bytes) Die("the arena is too small for these vectors");
  Ready();
  uint64_t done = 0;
  while (!g_stop) {
    uint32_t taken = 0;
    for (uint32_t q = 0; q < vm->options().rings; ++q) {
      taken += TakeAnswers(vm.get(), q);
      while (vm->producer(q).outstanding() < depth) vm->AddVectors(q, count, 0, bytes, 2 * bytes);
      vm->Flush(q);
    }
    done += taken;
    if (taken == 0 && args.Number("--sleep", 1) != 0) SleepNs(50'000);
  }
  Say("%lu vectors answered", static_cast<unsigned long>(done));
}

// A slot full of rubbish, most of it nearly right.
void RubbishSlot(const Vm& vm, const RingRef<RealMemory>& ring, uint32_t epoch, std::mt19937_64* random) {
  static constexpr std::array<uint32_t, 8> kOpcodes = {0, 1, 5, 16, 0x1e, 0x1f, 0x100, 31};
  auto& r = *random;
  const auto idx = static_cast<uint32_t>(r() % (4 * vm.options().entries));
  for (uint32_t i = 0; i < VGPU_SLOT_ARGS; ++i) {
    const uint64_t value = r() % 3 != 0 ? r() >> (r() % 64) : vm.layout().arena_bytes - r() % 16;
    RealMemory::StoreRelaxed(ring.arg(idx, i), value);
  }
  const uint64_t high_bits = r() % 64 == 0 ? r() & 0xff000000 : 0;
  const uint64_t submit =
      vgpu_submit_word(kOpcodes[r() % kOpcodes.size()], static_cast<uint32_t>(r() % 6), ring.tag(epoch, idx));
  RealMemory::StoreRelease(ring.submit(idx), submit | high_bits);
}

// Rubbish in every word of the ring while the mediator reads it, and a reset now and then,
// since it is fenced soon.
void Garbage(const Args& args) {
  const auto vm = Attached(args, args.Vm(2, 64, 1 << 20));
  std::mt19937_64 r(static_cast<uint64_t>(args.Number("--seed", 1)));
  const uint64_t words = (VGPU_SLOTS_OFF + sizeof(vgpu_slot) * vm->options().entries) / 8;
  Ready();
  uint64_t steps = 0;
  while (!g_stop) {
    const auto q = static_cast<uint32_t>(r() % vm->options().rings);
    const auto ring = vm->ring(q);
    const uint32_t epoch = vgpu_word_seq(RealMemory::LoadAcquire(ring.epoch_ack));
    switch (r() % 16) {
      case 0: RealMemory::StoreRelease(ring.epoch_req + r() % words, r()); break;
      case 1:
        RealMemory::StoreRelease(ring.epoch_req, vgpu_word(r() % 3, static_cast<uint32_t>(r() % 1000)));
        vm->Kick(q);
        break;
      case 2:
        RealMemory::StoreRelease(ring.kick_event, r());
        RealMemory::StoreRelease(ring.epoch_ack, r());
        break;
      case 3: RealMemory::StoreRelease(ring.call_event, vgpu_word(static_cast<uint32_t>(r()), epoch)); break;
      case 4: vm->Kick(q); break;
      default: RubbishSlot(*vm, ring, epoch, &r);
    }
    if (++steps % 2000 == 0) {
      vm->connection().Drain();
      vm->connection().Send(VGPU_MSG_RESET);
    }
  }
  Say("%lu words of rubbish", static_cast<unsigned long>(steps));
}

// All doorbells in a tight loop, and nothing in the rings.
void Doorbells(const Args& args) {
  const auto vm = Attached(args, args.Vm(8, 64, 1 << 20));
  Ready();
  uint64_t kicks = 0;
  while (!g_stop) vm->Kick(static_cast<uint32_t>(kicks++ % vm->doorbells()));
  Say("%lu kicks", static_cast<unsigned long>(kicks));
}

// Asks for a new epoch of each ring as soon as the last one was answered: every slot is cleared each time.
void Epochs(const Args& args) {
  const auto vm = Attached(args, args.Vm(8, 4096, 8 << 20));
  Ready();
  uint64_t epochs = 0;
  while (!g_stop) {
    for (uint32_t q = 0; q < vm->options().rings; ++q) {
      uint32_t state = 0;
      if (!ring::EpochAnswered(vm->ring(q), vm->epoch(q), &state)) continue;
      vm->AskEpoch(q);
      ++epochs;
    }
  }
  Say("%lu epochs", static_cast<unsigned long>(epochs));
}

// Every ring of many VMs sends one ADD each period, so that all of them stay polled.
void KeepHot(const Args& args) {
  const auto all = AttachedMany(args, args.Vm(8, 16, 256 << 10), args.Number("--vms", 100));
  const int64_t period_ns = args.Number("--period_us", 1000) * 1000;
  Ready();
  uint64_t requests = 0;
  while (!g_stop) {
    const int64_t begin_ns = NowNs();
    for (const auto& vm : all) {
      for (uint32_t q = 0; q < vm->options().rings; ++q) {
        TakeAnswers(vm.get(), q);
        if (vm->producer(q).full()) continue;
        vm->Add(q, 1, 1);
        vm->Flush(q);
        ++requests;
      }
    }
    SleepNs(std::max<int64_t>(0, period_ns - (NowNs() - begin_ns)));
  }
  Say("%lu requests", static_cast<unsigned long>(requests));
}

// Attached, open and silent.
void Idle(const Args& args) {
  const auto all = AttachedMany(args, args.Vm(8, 256, 1 << 20), args.Number("--vms", 100));
  Ready();
  AwaitStop();
}

// Every slot of every ring of many VMs, then all doorbells: how long is the iteration that takes them?
void Burst(const Args& args) {
  const auto all = AttachedMany(args, args.Vm(8, 256, 1 << 20), args.Number("--vms", 40));
  const auto each = [&](const auto& act) {
    for (const auto& vm : all) {
      for (uint32_t q = 0; q < vm->options().rings; ++q) act(vm.get(), q);
    }
  };
  Ready();
  uint64_t requests = 0;
  while (!g_stop) {
    each([&](Vm* vm, uint32_t q) {
      for (; !vm->producer(q).full(); ++requests) vm->Add(q, 1, 1);
    });
    each([](Vm* vm, uint32_t q) { vm->Flush(q); });
    each([](Vm* vm, uint32_t q) {
      while (vm->producer(q).outstanding() != 0 && !g_stop) TakeAnswers(vm, q);
    });
    SleepNs(args.Number("--pause_us", 2000) * 1000);
  }
  Say("%lu requests", static_cast<unsigned long>(requests));
}

// One ADD each period, chosen so that a mediator that waits for the next one always waits in vain.
void Rhythm(const Args& args) {
  const auto vm = Attached(args, args.Vm(1, 64, 1 << 20));
  prctl(PR_SET_TIMERSLACK, 1);
  const int64_t period_ns = args.Number("--period_us", 40) * 1000;
  Ready();
  uint64_t requests = 0;
  for (; !g_stop; SleepNs(period_ns)) {
    TakeAnswers(vm.get(), 0);
    if (vm->producer(0).full()) continue;
    vm->Add(0, 1, 1);
    vm->Flush(0);
    ++requests;
  }
  Say("%lu requests", static_cast<unsigned long>(requests));
}

constexpr Attack kAttacks[] = {{"nothing", Nothing},  {"flood", Flood},         {"vectors", VectorFlood},
                               {"garbage", Garbage},  {"doorbells", Doorbells}, {"epochs", Epochs},
                               {"keep-hot", KeepHot}, {"idle", Idle},           {"burst", Burst},
                               {"rhythm", Rhythm}};

}  // namespace

std::span<const Attack> GuestAttacks() { return kAttacks; }

}  // namespace vgpu::bench::interference
