// SPDX-License-Identifier: Apache-2.0
// What a hostile owner can do with descriptors that it hands over, or keeps: some are slow to close, slow to
// signal, or never stop being readable.
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "bench/interference/attack.h"

namespace vgpu::bench::interference {
namespace {

// The last close of a big memfd frees its memory.
void BigMemfd(const Args& args) {
  const auto bytes = static_cast<uint64_t>(args.Number("--bytes", 2l << 30));
  Thrower thrower(args);
  Ready();
  long thrown = 0;
  while (!g_stop) {
    {
      const UniqueFd fd = Memfd("attack-junk", bytes, 0, 0);
      if (fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0) Die("no memory");
      thrown += thrower.Throw(fd.get());
    }
    thrower.AwaitHangUp();  // there is memory for one or two
    SleepNs(50'000'000);
  }
  Say("%ld thrown", thrown);
}

// A TCP connection to ourselves whose peer reads nothing.
struct FullSocket {
  UniqueFd socket, peer;
};
FullSocket MakeFullSocket(int linger_seconds) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr int kSmall = 4096;
  setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &kSmall, sizeof kSmall);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* address = reinterpret_cast<sockaddr*>(&at);
  if (bind(listener.get(), address, size) != 0 || listen(listener.get(), 1) != 0 ||
      getsockname(listener.get(), address, &size) != 0) {
    Die("listen");
  }
  FullSocket full;
  full.socket = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(full.socket.get(), address, size) != 0) Die("connect to ourselves");
  full.peer = UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const std::vector<char> data(1 << 20);
  while (send(full.socket.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {}
  const linger wait{1, linger_seconds};
  if (setsockopt(full.socket.get(), SOL_SOCKET, SO_LINGER, &wait, sizeof wait) != 0) Die("SO_LINGER");
  return full;
}

// Whoever closes such a socket last waits until its data is sent, for --seconds. --unread 1: the descriptor
// lies in a message behind a breach, which is never read, and goes with the mediator's end of the connection.
void Linger(const Args& args) {
  constexpr size_t kAtOnce = 32;
  const bool unread = args.Number("--unread", 0) != 0;
  std::vector<UniqueFd> peers;
  Thrower thrower(args);
  Ready();
  long thrown = 0;
  while (!g_stop) {
    FullSocket full = MakeFullSocket(static_cast<int>(args.Number("--seconds", 2)));
    if (unread) {
      Connection connection;
      if (connection.Connect(args.socket())) {
        connection.SendBytes("GET / HTTP/1.1\r\n", 16);
        thrown += connection.Send(VGPU_MSG_STATUS, nullptr, 0, {full.socket.get()});
      }
    } else {
      thrown += thrower.Throw(full.socket.get());
    }
    if (peers.size() < kAtOnce) peers.push_back(std::move(full.peer));
    full.socket.reset();
    SleepNs(200'000'000);
  }
  Say("%ld thrown", thrown);
}

// Polls that hang in an eventfd's wait queue: whoever signals it, or reads it, walks them all.
class Waiters {
 public:
  Waiters(int fd, long count, unsigned events) {
    constexpr long kPerRing = 50'000;
    while (count > 0) {
      const long some = std::min(count, kPerRing);
      Add(fd, some, events);
      count -= some;
    }
  }
  Waiters(const Waiters&) = delete;
  Waiters& operator=(const Waiters&) = delete;

 private:
  void Add(int fd, long count, unsigned events) {
    auto ring = std::make_unique<io_uring>();
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    parameters.cq_entries = 64;
    if (io_uring_queue_init_params(32, ring.get(), &parameters) != 0) Die("io_uring");
    for (long i = 0; i < count; ++i) {
      io_uring_sqe* entry = nullptr;
      while ((entry = io_uring_get_sqe(ring.get())) == nullptr) io_uring_submit(ring.get());
      io_uring_prep_poll_multishot(entry, fd, events);
    }
    io_uring_submit(ring.get());
    rings_.push_back(std::move(ring));  // as long as this process
  }

  std::vector<std::unique_ptr<io_uring>> rings_;
};

// Answers that need a call, each time, and a long queue to walk for each.
void CallWaiters(const Args& args) {
  const auto vm = Attached(args, args.Vm(1, 64, 1 << 20));
  const Waiters waiters(vm->call(0), args.Number("--many", 200'000), POLLIN);
  Ready();
  uint64_t calls = 0;
  while (!g_stop) {
    const uint32_t idx = vm->Add(0, 1, 2);
    vm->producer(0).ArmCall();
    vm->Flush(0);
    ring::Answer answer;
    while (!vm->producer(0).Take(idx, &answer) && !g_stop) SleepNs(50'000);
    ++calls;
    SleepNs(args.Number("--pause_us", 5000) * 1000);
  }
  Say("%lu calls", static_cast<unsigned long>(calls));
}

// A kick that stays readable and is never written again: the mediator alone walks the queue, at each read.
void KickWaiters(const Args& args) {
  VmOptions options = args.Vm(1, 64, 1 << 20);
  std::unique_ptr<Waiters> waiters;
  const auto all = AttachedMany(
      args, options, 1,
      [&](Vm* vm) {
        vm->set_kick(0, Eventfd(EFD_SEMAPHORE));
        Fill(vm->kick(0));
        waiters = std::make_unique<Waiters>(vm->kick(0), args.Number("--many", 200'000), POLLPRI);
      },
      /*open=*/false);
  Ready();
  AwaitStop();
}

// Kicks that give up their count one by one, of a count that lasts for ever: the mediator is awake, the
// aggressor asleep.
void Semaphores(const Args& args) {
  const auto fill = [](Vm* vm) {
    for (uint32_t q = 0; q < vm->doorbells(); ++q) {
      vm->set_kick(q, Eventfd(EFD_SEMAPHORE));
      Fill(vm->kick(q));
    }
  };
  const auto all =
      AttachedMany(args, args.Vm(8, 16, 256 << 10), args.Number("--vms", 1), fill, /*open=*/false);
  Ready();
  AwaitStop();
}

// One eventfd as every kick of many VMs: one write wakes all that listen.
void SharedKick(const Args& args) {
  const UniqueFd shared = Eventfd();
  const auto share = [&](Vm* vm) {
    for (uint32_t q = 0; q < vm->doorbells(); ++q) {
      vm->set_kick(q, UniqueFd(fcntl(shared.get(), F_DUPFD_CLOEXEC, 0)));
    }
  };
  const auto all =
      AttachedMany(args, args.Vm(8, 16, 256 << 10), args.Number("--vms", 50), share, /*open=*/false);
  Ready();
  constexpr uint64_t kOne = 1;
  uint64_t writes = 0;
  for (; !g_stop; SleepNs(args.Number("--pause_us", 1000) * 1000)) {
    writes += write(shared.get(), &kOne, sizeof kOne) == sizeof kOne;
  }
  Say("%lu writes", static_cast<unsigned long>(writes));
}

constexpr Attack kAttacks[] = {{"big-memfd", BigMemfd},       {"linger", Linger},
                               {"call-waiters", CallWaiters}, {"kick-waiters", KickWaiters},
                               {"semaphores", Semaphores},    {"shared-kick", SharedKick}};

}  // namespace

std::span<const Attack> DescriptorAttacks() { return kAttacks; }

}  // namespace vgpu::bench::interference
