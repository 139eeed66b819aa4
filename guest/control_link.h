// SPDX-License-Identifier: Apache-2.0
// One connection to the mediator's control socket: messages out with descriptors,
// messages in until a deadline.
#ifndef VGPU_GUEST_CONTROL_LINK_H_
#define VGPU_GUEST_CONTROL_LINK_H_

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/channel.h"
#include "base/unique_fd.h"
#include "guest/error.h"
#include "guest/transport.h"
#include "ring/control_format.h"

namespace vgpu::guest {

struct Message {
  uint32_t type = 0;  // VGPU_MSG_*
  std::vector<char> payload;

  // The payload as one struct of the protocol; an error if it is too short for it.
  template <class T>
  Result<T> As() const {
    if (payload.size() < sizeof(T))
      return Fail(VGPU_ERR_VERSION, "the mediator sent a message that is too short");
    T value;
    std::memcpy(&value, payload.data(), sizeof(T));
    return value;
  }
};

// An error of code VGPU_ERR_UNAVAILABLE or VGPU_ERR_NO_PERMISSION may pass when the mediator is started
// again; any other will not. Single-threaded.
class ControlLink {
 public:
  // Never blocks: a mediator that is too busy to listen counts as unavailable.
  static Result<ControlLink> Connect(const std::string& path);

  Result<void> Send(uint32_t type, const void* payload, uint32_t size, std::initializer_list<int> fds = {});

  // The next message; descriptors that come with it are dropped. A message of ERROR becomes
  // an error with its text.
  Result<Message> Receive(TimePoint deadline);

  // Is there anything to receive, the end of the connection included?
  bool Readable() const;

  int fd() const { return channel_.fd(); }
  // Puts `other`'s connection in the place of this one, under the same number: a thread that polls the number
  // never meets a stranger's descriptor.
  void Replace(ControlLink other) { channel_.Become(std::move(other.channel_)); }

 private:
  explicit ControlLink(base::UniqueFd fd) : channel_(std::move(fd), ring::kOwnersEnd) {}

  base::Channel channel_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_CONTROL_LINK_H_
