// SPDX-License-Identifier: Apache-2.0
#define NDEBUG  // the rival as it is shipped, without its own checks
#include <boost/lockfree/spsc_queue.hpp>

#include "bench/subjects/rivals/queue_pair.h"

namespace vgpu::bench {
namespace {

// Of fixed capacity it holds its slots in itself and has no pointers, so it may lie in shared memory.
template <class Message, size_t kRoom>
class BoostQueue {
 public:
  static constexpr const char* kName = sizeof(Message) == sizeof(SmallMessage)
                                           ? "Boost.Lockfree, messages of 16 B"
                                           : "Boost.Lockfree spsc_queue";

  size_t Push(const Message* messages, size_t n) {
    return n == 1 ? queue_.push(*messages) : queue_.push(messages, n);
  }
  size_t Pop(Message* messages, size_t n) { return n == 1 ? queue_.pop(*messages) : queue_.pop(messages, n); }

 private:
  boost::lockfree::spsc_queue<Message, boost::lockfree::capacity<kRoom>> queue_;
};

template <size_t kRoom>
using BoostQueues = TwoQueues<BoostQueue<Message, kRoom>>;
template <size_t kRoom>
using SmallBoostQueues = TwoQueues<BoostQueue<SmallMessage, kRoom>, SmallMessage>;

}  // namespace

std::unique_ptr<Contestant> MakeBoostPair(const PairPlan& plan) { return MakeExchange<BoostQueues>(plan); }

std::unique_ptr<Contestant> MakeSmallBoostPair(const PairPlan& plan) {
  return MakeWithRoom(plan, [&plan]<size_t kRoom>() -> std::unique_ptr<Contestant> {
    return std::make_unique<Exchange<SmallBoostQueues<kRoom>, SmallMessage>>(plan);
  });
}

}  // namespace vgpu::bench
