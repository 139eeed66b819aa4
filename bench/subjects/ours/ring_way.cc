// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/ours/ring_way.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/codes.h"
#include "api/vector.h"
#include "guest/client.h"
#include "guest/pci_transport.h"

namespace vgpu::bench {
namespace {

constexpr std::chrono::seconds kPatience{60};

template <class T>
T Must(guest::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text);
  return std::move(*result);
}

class RingWay final : public VectorWay {
 public:
  explicit RingWay(RingOperands operands)
      : operands_(operands),
        client_(Must(
            guest::Client::Open(Must(guest::PciTransport::Open({})), 0, guest::Clock::now() + kPatience))) {}

  VectorMemory Memory(uint64_t count) override {
    shared_ = {Part(count), Part(count), Part(count), count};
    return operands_ == RingOperands::kInArena ? shared_ : VectorWay::Memory(count);
  }

  void Add(const VectorMemory& memory) override {
    const bool copied = operands_ == RingOperands::kCopied;
    if (copied) {
      std::copy_n(memory.a, memory.count, shared_.a);
      std::copy_n(memory.b, memory.count, shared_.b);
    }
    const uint32_t idx = client_->VectorAdd(VGPU_TYPE_I32, memory.count, OffsetOf(shared_.a),
                                            OffsetOf(shared_.b), OffsetOf(shared_.c));
    const auto answer = Must(client_->Wait(idx, guest::Clock::now() + kPatience));
    if (answer.code != VGPU_OK) throw std::runtime_error(guest::Refused(answer.code).text);
    if (copied) std::copy_n(shared_.c, memory.count, memory.c);
  }

 private:
  uint32_t* Part(uint64_t count) {
    guest::Buffer buffer = Must(client_->Allocate(count * sizeof(uint32_t)));
    buffer.Abandon();  // the client goes with this
    return buffer.as<uint32_t>();
  }
  uint64_t OffsetOf(const uint32_t* part) const {
    return static_cast<uint64_t>(reinterpret_cast<const char*>(part) - client_->arena_data());
  }

  const RingOperands operands_;
  const std::unique_ptr<guest::Client> client_;
  VectorMemory shared_{};
};

}  // namespace

std::unique_ptr<VectorWay> MakeRingWay(RingOperands operands) { return std::make_unique<RingWay>(operands); }

}  // namespace vgpu::bench
