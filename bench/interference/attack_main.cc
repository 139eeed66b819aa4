// SPDX-License-Identifier: Apache-2.0
// attack NAME --socket PATH [--name value]...: one attack, until SIGTERM.
#include <array>
#include <cstdio>
#include <string_view>

#include "bench/interference/attack.h"

namespace vgpu::bench::interference {

std::vector<std::unique_ptr<Vm>> AttachedMany(const Args& args, const VmOptions& options, long count,
                                              const std::function<void(Vm*)>& change, bool open) {
  std::vector<std::unique_ptr<Vm>> all;
  for (long i = 0; i < count && !g_stop; ++i) {
    VmOptions mine = options;
    mine.vm_id += static_cast<uint32_t>(i);
    auto vm = std::make_unique<Vm>(mine);
    if (change) change(vm.get());
    if (!vm->Attach(args.socket())) {
      if (i == 0) Die("refused: %s", vm->error().c_str());
      Say("%ld of %ld VMs attached; then: %s", i, count, vm->error().c_str());
      break;
    }
    if (open && !vm->OpenAll()) Die("a ring does not open");
    all.push_back(std::move(vm));
  }
  return all;
}

std::unique_ptr<Vm> Attached(const Args& args, const VmOptions& options) {
  auto all = AttachedMany(args, options, 1);
  if (all.empty()) Die("stopped before it was attached");
  return std::move(all.front());
}

bool Thrower::Throw(int fd) {
  constexpr size_t kMost = 16;
  Connection connection;
  if (!connection.Connect(socket_)) return false;
  connection.Hello();
  const bool sent = connection.Send(VGPU_MSG_STATUS, nullptr, 0, {fd});
  last_.push_back(std::move(connection));
  if (last_.size() > kMost) last_.erase(last_.begin());
  return sent;
}

void Thrower::AwaitHangUp() const {
  std::string payload;
  while (!g_stop && !last_.empty() && last_.back().Receive(&payload, 100) != kHungUp) {}
}

uint32_t TakeAnswers(Vm* vm, uint32_t q) {
  std::array<ring::Answer, 64> answers;
  uint32_t taken = 0;
  for (uint32_t got; (got = vm->producer(q).TakeOldest(answers.size(), answers.data())) != 0;) taken += got;
  return taken;
}

}  // namespace vgpu::bench::interference

int main(int argc, char** argv) {
  using namespace vgpu::bench::interference;
  const std::span<const Attack> all[] = {GuestAttacks(),      AttachAttacks(), ConnectionAttacks(),
                                         DescriptorAttacks(), FuseAttacks(),   MemoryAttacks()};
  for (const std::span<const Attack> attacks : all) {
    for (const Attack& attack : attacks) {
      if (argc < 2 || std::string_view(argv[1]) != attack.name) continue;
      BeginProgram();
      attack.run(Args(argc, argv));
      return 0;
    }
  }
  std::printf("usage: attack NAME --socket PATH [--name value]..., NAME one of:");
  for (const std::span<const Attack> attacks : all) {
    for (const Attack& attack : attacks) std::printf(" %s", attack.name);
  }
  std::printf("\n");
  return 2;
}
