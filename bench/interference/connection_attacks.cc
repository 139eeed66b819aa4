// SPDX-License-Identifier: Apache-2.0
// What a hostile owner can do with messages of the control socket.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "api/vector.h"
#include "bench/interference/attack.h"

namespace vgpu::bench::interference {
namespace {

std::vector<std::unique_ptr<Connection>> Connected(const Args& args, long count) {
  std::vector<std::unique_ptr<Connection>> all;
  for (long i = 0; i < count; ++i) {
    auto connection = std::make_unique<Connection>();
    if (!connection->Connect(args.socket())) {
      Say("%ld of %ld connections", i, count);
      break;
    }
    all.push_back(std::move(connection));
  }
  return all;
}

size_t StillOpen(const std::vector<std::unique_ptr<Connection>>& all) {
  return static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [](const auto& connection) { return connection->StillOpen(); }));
}

// Connections that never say a word. Does anybody else still get in?
void Silent(const Args& args) {
  const auto all = Connected(args, args.Number("--many", 320));
  Ready();
  Vm newcomer(args.Vm(1, 64, 64 << 10));
  const int64_t begin_ns = NowNs();
  const bool granted = newcomer.Attach(args.socket(), 1500);
  Say("a newcomer: %s after %.1f ms", granted ? "granted" : newcomer.error().c_str(),
      static_cast<double>(NowNs() - begin_ns) / 1e6);
  AwaitStop();
  Say("%zu of %zu still open at the end", StillOpen(all), all.size());
}

// Connects and closes, as fast as it goes.
void Churn(const Args& args) {
  Ready();
  long connections = 0;
  while (!g_stop) {
    Connection connection;
    connections += connection.Connect(args.socket());
  }
  Say("%ld connections", connections);
}

// Many connections that send a valid message byte by byte.
void HalfMessages(const Args& args) {
  const auto all = Connected(args, args.Number("--many", 200));
  for (const auto& connection : all) connection->Hello();
  const std::string reset = Connection::Encode(VGPU_MSG_RESET);
  Ready();
  uint64_t bytes = 0;
  while (!g_stop) {
    for (const char& byte : reset) {
      for (const auto& connection : all) {
        bytes += connection->SendBytes(&byte, 1, {}, MSG_DONTWAIT);
        connection->Drain();
      }
    }
  }
  Say("%lu bytes", static_cast<unsigned long>(bytes));
}

// STATUS over --connections at once: as fast as it goes, or --rate a second all together; --read 0: answers
// are left lying.
class StatusFlood {
 public:
  explicit StatusFlood(const Args& args)
      : rate_(args.Number("--rate", 0)),
        read_(args.Number("--read", 1) != 0),
        vms_(AttachedVms(args)),
        connections_(Connected(args, args.Number("--connections", 1))) {
    for (const auto& connection : connections_) connection->Hello(VGPU_ROLE_OPERATOR);
    for (int i = 0; i < (rate_ == 0 ? kBatch : 1); ++i) batch_ += Connection::Encode(VGPU_MSG_STATUS);
  }

  void Run() {
    Ready();
    const int64_t begin_ns = NowNs();
    while (!g_stop) {
      for (const auto& connection : connections_) {
        if (g_stop) break;
        AwaitTurn(begin_ns);
        if (read_) bytes_ += connection->Drain();
        if (connection->SendBytes(batch_.data(), batch_.size(), {}, MSG_DONTWAIT)) ++batches_;
      }
    }
    const double seconds = static_cast<double>(NowNs() - begin_ns) / 1e9;
    const size_t hung_up = connections_.size() - StillOpen(connections_);
    const double asked = static_cast<double>(batches_ * (rate_ == 0 ? kBatch : 1));
    Say("%.0f a second asked for, %.0f KB a second answered, %zu of %zu connections hung up", asked / seconds,
        static_cast<double>(bytes_) / seconds / 1000, hung_up, connections_.size());
  }

 private:
  static constexpr int kBatch = 16;

  static std::vector<std::unique_ptr<Vm>> AttachedVms(const Args& args) {
    return AttachedMany(args, args.Vm(8, 16, 256 << 10), args.Number("--vms", 0));
  }
  void AwaitTurn(int64_t begin_ns) const {
    if (rate_ == 0) return;
    const int64_t due_ns = begin_ns + static_cast<int64_t>(batches_) * 1'000'000'000 / rate_;
    if (const int64_t left_ns = due_ns - NowNs(); left_ns > 0) SleepNs(left_ns);
  }

  const long rate_;
  const bool read_;
  const std::vector<std::unique_ptr<Vm>> vms_;
  const std::vector<std::unique_ptr<Connection>> connections_;
  std::string batch_;
  uint64_t batches_ = 0, bytes_ = 0;
};

void Status(const Args& args) { StatusFlood(args).Run(); }

// RESET in a loop, of rings with many slots.
void Resets(const Args& args) {
  const auto vm = Attached(args, args.Vm(8, 4096, 8 << 20));
  std::string batch;
  constexpr int kBatch = 16;
  for (int i = 0; i < kBatch; ++i) batch += Connection::Encode(VGPU_MSG_RESET);
  Ready();
  uint64_t resets = 0;
  while (!g_stop) {
    vm->connection().Drain();
    if (vm->connection().SendBytes(batch.data(), batch.size(), {}, MSG_DONTWAIT)) {
      resets += kBatch;
    } else if (errno != EAGAIN) {
      Say("hung up");
      AwaitStop();
    }
  }
  Say("%lu resets", static_cast<unsigned long>(resets));
}

// Two kinds of nonsense in turn: each is refused, and each refusal is another line of the log.
void Refusals(const Args& args) {
  constexpr char kOtherProtocol[] = "GET / HTTP/1.1\r\n\r\n";
  constexpr uint32_t kNoSuchMessage = 99;
  Ready();
  uint64_t refused = 0;
  while (!g_stop) {
    Connection connection;
    if (!connection.Connect(args.socket())) continue;
    if (refused++ % 2 != 0) {
      connection.SendBytes(kOtherProtocol, sizeof kOtherProtocol - 1);
    } else {
      connection.Send(kNoSuchMessage);
    }
  }
  Say("%lu refusals", static_cast<unsigned long>(refused));
}

// As soon as the first lap of ring 0 is taken, the next one: slots are reused before their answers.
void TwoLapsAtOnce(Vm* vm, uint32_t epoch) {
  const uint64_t args[4] = {vm->layout().arena_bytes / sizeof(uint32_t), 0, 0, 0};
  const uint32_t entries = vm->options().entries;
  const auto ring = vm->ring(0);
  for (uint32_t idx = 0; idx < 2 * entries; ++idx) {
    for (int check = 0; check < 200 && idx >= entries && vm->TakenBy(0) < entries; ++check) SleepNs(10'000);
    for (uint32_t i = 0; i < 4; ++i) RealMemory::StoreRelaxed(ring.arg(idx, i), args[i]);
    RealMemory::StoreRelease(ring.submit(idx),
                             vgpu_submit_word(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, ring.tag(epoch, idx)));
    vm->Kick(0);
  }
}

// Of ring 0, within some milliseconds.
bool AwaitAck(const Vm& vm, uint32_t state) {
  for (int check = 0; check < 500; ++check) {
    if (vgpu_word_data(RealMemory::LoadAcquire(vm.ring(0).epoch_ack)) == state) return true;
    SleepNs(10'000);
  }
  return false;
}

bool AwaitResetDone(Vm* vm) {
  std::string payload;
  for (;;) {
    const uint32_t type = vm->connection().Receive(&payload, 2000);
    if (type == VGPU_MSG_RESET_DONE) return true;
    if (type == kHungUp || type == kTimeOut) return false;
  }
}

bool Reset(Vm* vm) {
  vm->connection().Drain();
  vm->connection().Send(VGPU_MSG_RESET);
  return AwaitResetDone(vm);
}

// Does `round` over and over, with a reset after each that opens the rings anew.
void Again(const Args& args, uint32_t rings, uint64_t bytes, const std::function<void(Vm*)>& round) {
  const auto vm = Attached(args, args.Vm(rings, 2, bytes));
  Ready();
  unsigned long rounds = 0;
  for (; !g_stop; ++rounds) {
    round(vm.get());
    if ((Reset(vm.get()) && vm->OpenAll()) || g_stop) continue;
    Say("no way back after round %lu", rounds);
    AwaitStop();
  }
  Say("%lu rounds", rounds);
}

// Lies and is fenced: a line of the log each time.
void Lies(const Args& args) {
  Again(args, 1, 256 << 10, [](Vm* vm) {
    TwoLapsAtOnce(vm, vm->epoch(0));
    AwaitAck(*vm, VGPU_EPOCH_FENCED);
  });
}

// Lies on one ring while its reset waits for a long vector of another one.
void ResetLies(const Args& args) {
  Again(args, 2, 64 << 20, [](Vm* vm) {
    const uint64_t count = vm->layout().arena_bytes / sizeof(uint32_t);
    vm->AddVectors(1, count, 0, 0, 0);
    vm->Flush(1);
    for (int check = 0; check < 1000 && vm->TakenBy(1) == 0; ++check) SleepNs(10'000);
    SleepNs(1'000'000);
    vm->connection().Drain();
    vm->connection().Send(VGPU_MSG_RESET);
    if (!AwaitAck(*vm, VGPU_EPOCH_CLOSED)) return;
    vm->AskEpoch(0);
    if (AwaitAck(*vm, VGPU_EPOCH_OPEN)) TwoLapsAtOnce(vm, vm->epoch(0));
    AwaitResetDone(vm);
  });
}

constexpr Attack kAttacks[] = {{"silent", Silent}, {"churn", Churn},         {"half-messages", HalfMessages},
                               {"status", Status}, {"resets", Resets},       {"refusals", Refusals},
                               {"lies", Lies},     {"reset-lies", ResetLies}};

}  // namespace

std::span<const Attack> ConnectionAttacks() { return kAttacks; }

}  // namespace vgpu::bench::interference
