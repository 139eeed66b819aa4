// SPDX-License-Identifier: Apache-2.0
// What a hostile owner can do by coming and going.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <new>
#include <random>
#include <thread>

#include "bench/interference/attack.h"

namespace vgpu::bench::interference {
namespace {

constexpr int64_t kRefusedNs = 1'000'000;
constexpr uint64_t kElements = 100'000;  // of an owner's vectors

// Attaches and hangs up, as fast as it goes, by --threads at once with a vm_id each.
void AttachLoop(const Args& args) {
  std::atomic<long> attached{0}, refused{0};
  const auto loop = [&](uint32_t i) {
    VmOptions options = args.Vm(1, 64, 64 << 10);
    options.vm_id += i;
    Vm vm(options);
    while (!g_stop) {
      if (vm.Attach(args.socket(), 5000)) {
        ++attached;
      } else if (refused++ == 0) {
        Say("refused: %s", vm.error().c_str());
      } else {
        SleepNs(kRefusedNs);
      }
      vm.connection().Close();
    }
  };
  Ready();
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < args.Number("--threads", 1); ++i) threads.emplace_back(loop, i);
  for (std::thread& thread : threads) thread.join();
  Say("%ld attaches, %ld refused", attached.load(), refused.load());
}

// Attaches a huge region again and again, and waits for the grant each time.
void BigAttach(const Args& args) {
  Vm vm(args.Vm(8, 4096, 4ull << 30));
  Ready();
  long attached = 0;
  while (!g_stop) {
    if (vm.Attach(args.socket(), 60000)) {
      ++attached;
    } else if (!g_stop) {
      Say("refused: %s", vm.error().c_str());
      SleepNs(100 * kRefusedNs);
    }
    vm.connection().Close();
  }
  Say("%ld attaches", attached);
}

// Attaches a huge region, gives up its own hold on the memory, and hangs up while the mediator is at it:
// whoever lets go last frees it.
void HangUp(const Args& args) {
  std::mt19937 random(static_cast<uint32_t>(args.Number("--seed", 1)));
  Ready();
  long hung_up = 0;
  while (!g_stop) {
    Vm vm(args.Vm(8, 4096, 2ull << 30));
    if (vm.connection().Connect(args.socket())) {
      vm.SendAttach();
      vm.DropRegion();
      SleepNs(static_cast<int64_t>(random() % 30'000) * 1000);
      vm.connection().Close();
      ++hung_up;
    }
    SleepNs(100 * kRefusedNs);
  }
  Say("hung up %ld times", hung_up);
}

// A little work for ring q: ADDs, and of the first ring one vector at a time.
void SendSome(Vm* vm, uint32_t q) {
  if (q == 0 && vm->producer(q).outstanding() == 0) vm->AddVectors(q, kElements, 0, kElements * 4, 0);
  while (vm->producer(q).outstanding() < 4) vm->Add(q, 1, 2);
}

// As much as there is room for, each seventh request a vector.
void SendAll(Vm* vm, uint32_t q) {
  while (!vm->producer(q).full()) {
    if (vm->producer(q).outstanding() % 7 == 3) {
      vm->AddVectors(q, kElements, 0, kElements * 4, 0);
    } else {
      vm->Add(q, 1, 2);
    }
  }
}

// An owner with work in flight, for as long as it lives: `attached` gets a byte once it is served. It begins
// when all are there.
[[noreturn]] void BeOwner(const Args& args, uint32_t i, int attached, const std::atomic<bool>& all_there) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  VmOptions options = args.Vm(4, 256, 16 << 20);
  options.vm_id += i;
  Vm vm(options);
  const bool served = vm.Attach(args.socket()) && vm.OpenAll();
  [[maybe_unused]] const ssize_t written = write(attached, served ? "y" : "n", 1);
  if (!served) _exit(1);
  const bool busy = args.Number("--busy", 0) != 0;
  for (;; SleepNs(busy ? 1'000'000 : 20'000'000)) {
    for (uint32_t q = 0; q < options.rings && all_there; ++q) {
      TakeAnswers(&vm, q);
      busy ? SendAll(&vm, q) : SendSome(&vm, q);
      vm.Flush(q);
    }
  }
}

// A flag that this process shares with those that it forks.
std::atomic<bool>& SharedFlag() {
  void* page =
      mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) Die("map a page");
  return *new (page) std::atomic<bool>(false);
}

// Many owners; one after the other is killed at a random moment and followed by another. The harness kills
// the last of them together with this process.
void KilledPeers(const Args& args) {
  std::mt19937 random(static_cast<uint32_t>(args.Number("--seed", 1)));
  std::vector<pid_t> owners(static_cast<size_t>(args.Number("--many", 90)));
  int attached[2];
  if (pipe(attached) != 0) Die("pipe");
  std::atomic<bool>& all_there = SharedFlag();
  const auto begin = [&](size_t i) {
    owners[i] = fork();
    if (owners[i] == 0) BeOwner(args, static_cast<uint32_t>(i), attached[1], all_there);
    if (owners[i] < 0) Die("fork");
  };
  char served = 'n';
  size_t refused = 0;
  for (size_t i = 0; i < owners.size(); ++i) {
    begin(i);
    if (read(attached[0], &served, 1) != 1 || served != 'y') ++refused;
  }
  Say("%zu owners, %zu of them refused", owners.size(), refused);
  all_there = true;
  Ready();
  long killed = 0;
  while (!g_stop) {
    SleepNs(static_cast<int64_t>(random() % 60'000) * 1000);
    const size_t i = random() % owners.size();
    kill(owners[i], SIGKILL);
    waitpid(owners[i], nullptr, 0);
    begin(i);
    ++killed;
  }
  Say("%ld killed", killed);
}

constexpr Attack kAttacks[] = {{"attach-loop", AttachLoop},
                               {"big-attach", BigAttach},
                               {"hang-up", HangUp},
                               {"killed-peers", KilledPeers}};

}  // namespace

std::span<const Attack> AttachAttacks() { return kAttacks; }

}  // namespace vgpu::bench::interference
