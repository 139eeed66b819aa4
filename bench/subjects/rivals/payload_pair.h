// SPDX-License-Identifier: Apache-2.0
// Payloads by way of what carries messages (queue_pair.h), as a user of it would send them: a few bytes in
// the message itself, more in a pool of buffers that both sides have, and the message names them.
#ifndef VGPU_BENCH_SUBJECTS_RIVALS_PAYLOAD_PAIR_H_
#define VGPU_BENCH_SUBJECTS_RIVALS_PAYLOAD_PAIR_H_

#include <array>
#include <cstring>
#include <string>

#include "bench/lib/payload.h"
#include "bench/lib/rival_server.h"
#include "bench/subjects/rivals/message.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {

template <class Carrier>
class PayloadExchange final : public Contestant {
 public:
  explicit PayloadExchange(const PairPlan& plan)
      : plan_(plan), server_([this](uint64_t count) { Serve(count); }) {}

  std::string name() const override { return std::string(Carrier::kName) + PollingName(plan_.polling); }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(WithWarmUp(count));
    return RunPayloads(count, latency_ns, plan_.payload_bytes, (*pool_)[kPayload].data(),
                       (*pool_)[kResult].data(), [this] { return Ask(); });
  }

 private:
  bool in_message() const { return plan_.payload_bytes <= sizeof(Message::rest); }

  bool Ask() {
    Message message{++serial_, 1, 0, kPayload, kResult, {}};
    if (in_message()) std::memcpy(message.rest, (*pool_)[kPayload].data(), plan_.payload_bytes);
    while (carrier_->SendRequests(&message, 1) == 0) Rest(plan_.polling);
    while (carrier_->TakeReplies(&message, 1) == 0) Rest(plan_.polling);
    if (in_message()) std::memcpy((*pool_)[kResult].data(), message.rest, plan_.payload_bytes);
    return message.id == serial_ && message.opcode == 0;
  }

  void Serve(uint64_t count) {
    for (; count > 0; --count) {
      Message message;
      while (carrier_->TakeRequests(&message, 1) == 0) Rest(plan_.polling);
      if (in_message()) {
        PayloadBuffer numbers;
        std::memcpy(numbers.data(), message.rest, plan_.payload_bytes);
        DoublePayload(numbers.data(), numbers.data(), plan_.payload_bytes);
        std::memcpy(message.rest, numbers.data(), plan_.payload_bytes);
      } else {
        DoublePayload((*pool_)[message.a].data(), (*pool_)[message.b].data(), plan_.payload_bytes);
      }
      message.opcode = 0;
      while (carrier_->SendReplies(&message, 1) == 0) Rest(plan_.polling);
    }
  }

  static constexpr uint32_t kPayload = 0, kResult = 1;  // buffers of the pool

  const PairPlan plan_;
  uint64_t serial_ = 0;
  Shared<Carrier> carrier_;
  Shared<std::array<PayloadBuffer, 2>> pool_;
  RivalServer server_;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_RIVALS_PAYLOAD_PAIR_H_
