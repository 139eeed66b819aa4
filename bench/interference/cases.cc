// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/cases.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "bench/lib/process.h"

namespace vgpu::bench::interference {
namespace {

constexpr uint64_t kSpareMib = 1024;  // that stays for everybody else
constexpr uint64_t kHugePages = 16;

// The number after `name` in a file of "name: number" lines.
uint64_t Field(const char* file, const std::string& name) {
  const std::string text = ReadFile(file);
  const size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

using enum Kind;

std::vector<Case> Control() {
  return {
      {.name = "nothing", .title = "nothing (control)", .kind = kControl, .commands = {"nothing"}},
  };
}

// Descriptors that are slow to close.
std::vector<Case> SlowDescriptors() {
  return {
      {.name = "linger", .title = "slow close: TCP, SO_LINGER 2 s", .kind = kOwner, .commands = {"linger"}},
      {.name = "linger-unread",
       .title = "slow close: the same in a message never read",
       .kind = kOwner,
       .commands = {"linger --unread 1"}},
      {.name = "fuse-close",
       .title = "slow close: FUSE file, 2 s",
       .kind = kOwner,
       .commands = {"slow-close"},
       .need = Need::kFuse},
      {.name = "fuse-look",
       .title = "slow look: FUSE file as a region, 2 s",
       .kind = kOwner,
       .commands = {"slow-look"},
       .need = Need::kFuse},
      {.name = "big-memfd",
       .title = "slow close: memfd of 2 GiB",
       .kind = kOwner,
       .commands = {"big-memfd"},
       .memory_mib = 4096},
  };
}

// Status.
std::vector<Case> Status() {
  return {
      {.name = "status-1", .title = "status, 1 connection", .kind = kOwner, .commands = {"status"}},
      {.name = "status-100",
       .title = "status, 100 connections, 10,000/s",
       .kind = kOwner,
       .commands = {"status --connections 100 --rate 10000"},
       .extra = Extra::kRingCpu},
      {.name = "status-vms",
       .title = "status, 1 connection, 100 VMs attached",
       .kind = kOwner,
       .commands = {"status --vms 100"},
       .memory_mib = 128},
      {.name = "status-unread",
       .title = "status unread, 150 connections, 40 VMs",
       .kind = kOwner,
       .commands = {"status --vms 40 --connections 150 --read 0"},
       .memory_mib = 64},
  };
}

// Wait queues.
std::vector<Case> WaitQueues() {
  return {
      {.name = "call-waiters",
       .title = "200,000 waiters on a call eventfd",
       .kind = kOwner,
       .commands = {"call-waiters"},
       .memory_mib = 256},
      {.name = "kick-waiters",
       .title = "200,000 waiters on a kick eventfd",
       .kind = kOwner,
       .commands = {"kick-waiters"},
       .memory_mib = 256},
  };
}

// Memory that vanishes.
std::vector<Case> VanishingMemory() {
  return {
      {.name = "punch-16m",
       .title = "punched: 16 MiB",
       .kind = kMemory,
       .commands = {"punch-all --bytes 0x1000000 --refill 1"},
       .memory_mib = 64},
      {.name = "punch-64m",
       .title = "punched: 64 MiB in a loop",
       .kind = kMemory,
       .commands = {"punch-all"},
       .memory_mib = 128,
       .extra = Extra::kOneStall},
      {.name = "punch-1g",
       .title = "punched: 1 GiB",
       .kind = kMemory,
       .commands = {"punch-all --bytes 0x40000000 --refill 1"},
       .memory_mib = 1024,
       .extra = Extra::kOneStall},
      {.name = "punch-1g-vectors",
       .title = "the same under 4 KiB vectors",
       .kind = kMemory,
       .commands = {"punch-all --bytes 0x40000000 --refill 1 --vectors 1"},
       .memory_mib = 1024,
       .extra = Extra::kOneStall},
      {.name = "punch-1g-old",
       .title = "punched: 1 GiB, ring lines in it",
       .kind = kMemory,
       .commands = {"punch-all --bytes 0x40000000 --refill 1 --rings-file 0"},
       .memory_mib = 1024},
      {.name = "punch-rings",
       .title = "punched: the largest rings file",
       .kind = kMemory,
       .commands = {"punch-rings"},
       .memory_mib = 64},
      {.name = "punch-operands",
       .title = "punched: operands of vectors",
       .kind = kMemory,
       .commands = {"punch-operands"},
       .memory_mib = 128,
       .extra = Extra::kOneStall},
      {.name = "punch-huge",
       .title = "punched: huge pages under 4 KiB vectors",
       .kind = kMemory,
       .commands = {"punch-huge-pages"},
       .need = Need::kHugePages,
       .extra = Extra::kOneStall},
  };
}

// Coming and going.
std::vector<Case> ComingAndGoing() {
  return {
      {.name = "hang-up",
       .title = "hang-up during an attach of 2 GiB",
       .kind = kOwner,
       .commands = {"hang-up"},
       .memory_mib = 4096},
      {.name = "attach-big",
       .title = "attach of 4 GiB beside an attach loop",
       .kind = kOwner,
       .commands = {"big-attach", "attach-loop --vm 1100 --rings 8 --entries 4096 --bytes 0x400000"},
       .memory_mib = 4200},
      {.name = "attach-loop",
       .title = "attach loop, 1 ring of 64",
       .kind = kOwner,
       .commands = {"attach-loop"}},
      {.name = "attach-loop-8",
       .title = "attach loop, 8 rings of 4096",
       .kind = kOwner,
       .commands = {"attach-loop --rings 8 --entries 4096 --bytes 0x400000"}},
      {.name = "attach-storm",
       .title = "4 attach loops, 8 rings of 4096",
       .kind = kOwner,
       .commands = {"attach-loop --threads 4 --rings 8 --entries 4096 --bytes 0x400000"},
       .memory_mib = 32},
      {.name = "killed-peers",
       .title = "90 owners, killed one by one, then all",
       .kind = kOwner,
       .commands = {"killed-peers"},
       .memory_mib = 2048,
       .extra = Extra::kKilled},
      {.name = "killed-busy",
       .title = "the same, all of them flooding",
       .kind = kGuest,
       .commands = {"killed-peers --busy 1"},
       .memory_mib = 2048,
       .extra = Extra::kKilled},
  };
}

// The log.
std::vector<Case> TheLog() {
  return {
      {.name = "refusals",
       .title = "refusals as a flood of log lines",
       .kind = kOwner,
       .commands = {"refusals"}},
      {.name = "log-paused",
       .title = "the same while nobody reads the log",
       .kind = kOwner,
       .commands = {"refusals"},
       .extra = Extra::kPausedLog},
      {.name = "lies", .title = "lies, is fenced, resets, again", .kind = kOwner, .commands = {"lies"}},
      {.name = "reset-lies",
       .title = "lies while it is reset",
       .kind = kOwner,
       .commands = {"reset-lies"},
       .memory_mib = 64},
  };
}

// Connections.
std::vector<Case> Connections() {
  return {
      {.name = "resets", .title = "RESET flood, 8 rings of 4096", .kind = kOwner, .commands = {"resets"}},
      {.name = "churn", .title = "connections opened and closed", .kind = kOwner, .commands = {"churn"}},
      {.name = "half-messages",
       .title = "200 connections, messages byte by byte",
       .kind = kOwner,
       .commands = {"half-messages"}},
      {.name = "silent", .title = "320 silent connections", .kind = kOwner, .commands = {"silent"}},
  };
}

// Doorbells.
std::vector<Case> Doorbells() {
  return {
      {.name = "semaphore-1",
       .title = "semaphore doorbells, 1 VM",
       .kind = kOwner,
       .commands = {"semaphores"}},
      {.name = "semaphore-100",
       .title = "semaphore doorbells, 100 VMs",
       .kind = kOwner,
       .commands = {"semaphores --vms 100"},
       .memory_mib = 128},
      {.name = "shared-kick",
       .title = "one eventfd as 450 doorbells, 1 kHz",
       .kind = kOwner,
       .commands = {"shared-kick"},
       .memory_mib = 64},
  };
}

// Guests.
std::vector<Case> Guests() {
  return {
      {.name = "epochs", .title = "epoch storm, 8 rings of 4096", .kind = kGuest, .commands = {"epochs"}},
      {.name = "flood-low",
       .title = "flood from 8 rings, low",
       .kind = kGuest,
       .commands = {"flood --rings 8 --bytes 0x800000"},
       .priority = 0},
      {.name = "flood-medium",
       .title = "flood from 8 rings, medium",
       .kind = kGuest,
       .commands = {"flood --rings 8 --bytes 0x800000"}},
      {.name = "flood-high",
       .title = "flood from 8 rings, claims high",
       .kind = kGuest,
       .commands = {"flood --rings 8 --bytes 0x800000"},
       .priority = 2},
      {.name = "vectors-small",
       .title = "vectors of 4 KiB, medium",
       .kind = kGuest,
       .commands = {"vectors --count 1024 --sleep 0 --depth 64 --bytes 0x100000"}},
      {.name = "vectors-small-long",
       .title = "the same, by way of a worker (region of 16 MiB)",
       .kind = kGuest,
       .commands = {"vectors --count 1024 --sleep 0 --depth 64 --bytes 0x1000000"},
       .memory_mib = 32},
      {.name = "vectors-long-low",
       .title = "vectors of 4 MiB, low",
       .kind = kGuest,
       .commands = {"vectors"},
       .priority = 0,
       .memory_mib = 128},
      {.name = "vectors-long",
       .title = "vectors of 4 MiB from 8 rings, medium",
       .kind = kGuest,
       .commands = {"vectors --rings 8 --bytes 0x8000000"},
       .memory_mib = 256},
      {.name = "garbage", .title = "rubbish in all words", .kind = kGuest, .commands = {"garbage"}},
      {.name = "doorbells", .title = "9 doorbells in a loop", .kind = kGuest, .commands = {"doorbells"}},
      {.name = "rhythm", .title = "one request each 40 us", .kind = kGuest, .commands = {"rhythm"}},
      {.name = "idle-100", .title = "100 VMs, idle", .kind = kGuest, .commands = {"idle"}, .memory_mib = 256},
      {.name = "keep-hot",
       .title = "100 VMs x 8 rings at 1 kHz",
       .kind = kGuest,
       .commands = {"keep-hot"},
       .memory_mib = 128},
      {.name = "burst",
       .title = "40 VMs x 8 rings x 256 at once",
       .kind = kGuest,
       .commands = {"burst"},
       .memory_mib = 128},
  };
}

const std::vector<Case>& All() {
  static const std::vector<Case> kAll = [] {
    std::vector<Case> all;
    for (const auto& some : {Control(), SlowDescriptors(), Status(), WaitQueues(), VanishingMemory(),
                             ComingAndGoing(), TheLog(), Connections(), Doorbells(), Guests()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }();
  return kAll;
}

}  // namespace

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kControl: return "control";
    case Kind::kOwner: return "owner";
    case Kind::kGuest: return "guest";
    case Kind::kMemory: return "memory";
  }
  return "?";
}

std::span<const Case> Cases() { return All(); }

std::optional<std::string> CannotRun(const Case& attack) {
  if (attack.need == Need::kFuse && (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0)) {
    return "it mounts a FUSE file system: needs root and /dev/fuse";
  }
  if (attack.need == Need::kHugePages && Field("/proc/meminfo", "HugePages_Free:") < kHugePages) {
    return fmt::format("it needs {} free huge pages: sysctl vm.nr_hugepages={}", kHugePages, kHugePages);
  }
  const uint64_t free_mib = Field("/proc/meminfo", "MemAvailable:") / 1024;
  if (free_mib < attack.memory_mib + kSpareMib) {
    return fmt::format("it needs {} MiB of memory, and {} MiB to spare; {} MiB are available",
                       attack.memory_mib, kSpareMib, free_mib);
  }
  return std::nullopt;
}

}  // namespace vgpu::bench::interference
