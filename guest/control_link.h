// SPDX-License-Identifier: Apache-2.0
// One connection to the mediator's control socket: messages out with descriptors, messages in until a
// deadline.
#ifndef VGPU_GUEST_CONTROL_LINK_H_
#define VGPU_GUEST_CONTROL_LINK_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>

#include "guest/error.h"
#include "guest/transport.h"
#include "ring/control.h"
#include "base/unique_fd.h"

namespace vgpu::guest {

struct Message {
  uint32_t type = 0;  // VGPU_MSG_*
  uint32_t size = 0;
  std::array<char, VGPU_CONTROL_PAYLOAD_MAX> payload{};

  // The payload as one struct of the protocol; an error if it is too short for it.
  template <class T>
  Result<T> As() const {
    if (size < sizeof(T)) return Fail(VGPU_ERR_VERSION, "the mediator sent a message that is too short");
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

  // The next message; descriptors that come with it are dropped. A message of ERROR becomes an error with its
  // text.
  Result<Message> Receive(TimePoint deadline);

  // Is there anything to receive, the end of the connection included?
  bool Readable() const;

  int fd() const { return fd_.get(); }
  // Puts `other`'s connection in the place of this one, under the same number: a thread that polls the number
  // never meets a stranger's descriptor.
  void Replace(ControlLink other);

 private:
  explicit ControlLink(base::UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> ReceiveBytes(void* data, size_t bytes, TimePoint deadline);

  base::UniqueFd fd_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_CONTROL_LINK_H_
