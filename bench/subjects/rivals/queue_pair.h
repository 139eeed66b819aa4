// SPDX-License-Identifier: Apache-2.0
// What carries requests one way and replies the other, as a contestant. It lives in shared memory, has a
// static `kName`, and moves as many messages as it can at each call: a client's SendRequests and TakeReplies,
// a server's TakeRequests and SendReplies, which come in the order of the requests.
// A pair of queues is one: QueuePair.
#ifndef VGPU_BENCH_SUBJECTS_RIVALS_QUEUE_PAIR_H_
#define VGPU_BENCH_SUBJECTS_RIVALS_QUEUE_PAIR_H_

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "bench/lib/rival_server.h"
#include "bench/subjects/rivals/message.h"
#include "bench/subjects/rivals/payload_pair.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {

inline constexpr size_t kDepthMax = 1024;

// What both sides say by way of it: the server adds, the client checks every sum.
template <class Carrier, class Message = bench::Message>
class Dialogue {
 public:
  Dialogue(const PairPlan& plan, Carrier* carrier) : plan_(plan), carrier_(carrier) {}

  std::string name() const {
    std::string name = std::string(Carrier::kName) + PollingName(plan_.polling);
    if (plan_.depth > 1) name += ", batch " + std::to_string(plan_.batch);
    return name;
  }

  // The client's side: `count` requests after the warm-up.
  Round Run(uint64_t count, base::Histogram* latency_ns) {
    Stopwatch watch(latency_ns);
    wrong_ = 0;
    Ask(kWarmUp, nullptr);
    watch.Start();
    Ask(count, plan_.depth == 1 ? &watch : nullptr);
    return {watch.NsSince(count), wrong_};
  }

  // The server's, of `count` requests and of the warm-up.
  void Serve(uint64_t count) {
    std::array<Message, kDepthMax> batch;
    for (count += kWarmUp; count > 0;) {
      const size_t n = carrier_->TakeRequests(batch.data(), plan_.batch);
      if (n == 0) Rest(plan_.polling);
      for (size_t i = 0; i < n; ++i) {
        batch[i].opcode = 0;
        batch[i].a += batch[i].b;
      }
      for (size_t sent = 0; sent < n;) sent += carrier_->SendReplies(batch.data() + sent, n - sent);
      count -= n;
    }
  }

 private:
  using Id = decltype(Message::id);

  void Ask(uint64_t count, Stopwatch* watch) {
    uint64_t sent = 0;
    uint64_t got = 0;
    while (got < count) {
      const uint64_t room = std::min<uint64_t>(plan_.depth - (sent - got), count - sent);
      if (room >= plan_.batch || (room > 0 && room == count - sent)) {
        if (watch != nullptr) watch->Sent(sent);
        sent += Send(sent, std::min<uint64_t>(room, plan_.batch));
      }
      const size_t n = Receive(got);
      if (n == 0) Rest(plan_.polling);
      if (watch != nullptr && n != 0) watch->Answered(got);
      got += n;
    }
  }

  size_t Send(uint64_t first, size_t n) {
    std::array<Message, kDepthMax> batch;
    for (size_t i = 0; i < n; ++i) {
      const Operands operands = OperandsOf(first + i);
      batch[i] = {};
      batch[i].id = static_cast<Id>(first + i);
      batch[i].opcode = 1;
      batch[i].a = static_cast<uint32_t>(operands.a);
      batch[i].b = static_cast<uint32_t>(operands.b);
    }
    return carrier_->SendRequests(batch.data(), n);
  }

  size_t Receive(uint64_t first) {
    std::array<Message, kDepthMax> batch;
    const size_t n = carrier_->TakeReplies(batch.data(), plan_.batch);
    for (size_t i = 0; i < n; ++i) {
      const bool right = batch[i].id == static_cast<Id>(first + i) && batch[i].opcode == 0 &&
                         batch[i].a == OperandsOf(first + i).sum();
      wrong_ += !right;
    }
    return n;
  }

  const PairPlan plan_;
  Carrier* const carrier_;
  uint64_t wrong_ = 0;
};

template <class Carrier, class Message = bench::Message>
class Exchange final : public Contestant {
 public:
  explicit Exchange(const PairPlan& plan)
      : dialogue_(plan, carrier_.get()), server_([this](uint64_t count) { dialogue_.Serve(count); }) {}

  std::string name() const override { return dialogue_.name(); }
  pid_t server() const override { return server_.pid(); }

  Round Run(uint64_t count, base::Histogram* latency_ns) override {
    server_.Begin(count);
    return dialogue_.Run(count, latency_ns);
  }

 private:
  Shared<Carrier> carrier_;
  Dialogue<Carrier, Message> dialogue_;
  RivalServer server_;
};

// Queue has `size_t Push(const Message*, size_t)` and `size_t Pop(Message*, size_t)`, and kName.
template <class Queue, class Message = bench::Message>
class TwoQueues {
 public:
  static constexpr const char* kName = Queue::kName;

  size_t SendRequests(const Message* messages, size_t n) { return requests_.Push(messages, n); }
  size_t TakeRequests(Message* messages, size_t n) { return requests_.Pop(messages, n); }
  size_t SendReplies(const Message* messages, size_t n) { return replies_.Push(messages, n); }
  size_t TakeReplies(Message* messages, size_t n) { return replies_.Pop(messages, n); }

 private:
  alignas(128) Queue requests_;
  alignas(128) Queue replies_;
};

// By this carrier, what the plan says: payloads, or additions in the message.
template <class Carrier>
std::unique_ptr<Contestant> MakeExchange(const PairPlan& plan) {
  if (plan.payload_bytes != 0) return std::make_unique<PayloadExchange<Carrier>>(plan);
  return std::make_unique<Exchange<Carrier>>(plan);
}

// Of queues or layouts whose room is a template parameter, the one that this plan needs: more would leave the
// nearest caches for nothing. make.operator()<room>() makes it.
template <class Make>
std::unique_ptr<Contestant> MakeWithRoom(const PairPlan& plan, Make make) {
  constexpr size_t kShallow = 64;
  if (plan.depth <= kShallow) return make.template operator()<2 * kShallow>();
  return make.template operator()<2 * kDepthMax>();
}
template <template <size_t> class Carrier>
std::unique_ptr<Contestant> MakeExchange(const PairPlan& plan) {
  return MakeWithRoom(plan, [&plan]<size_t kRoom>() { return MakeExchange<Carrier<kRoom>>(plan); });
}

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_RIVALS_QUEUE_PAIR_H_
