// SPDX-License-Identifier: Apache-2.0
// One end of a control connection that says whatever a test wants, right or wrong.
#ifndef VGPU_TESTS_DAEMON_PEER_H_
#define VGPU_TESTS_DAEMON_PEER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "ring/control.h"

namespace vgpu::test {

struct Message {
  uint32_t type = 0;
  std::string payload;
};

// The bytes of a struct of the protocol.
template <class T>
std::string_view Bytes(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

class Peer {
 public:
  // Connects; see connected().
  explicit Peer(const std::string& socket);

  bool connected() const { return !!fd_; }
  int fd() const { return fd_.get(); }

  // False: the mediator has hung up.
  bool SendBytes(std::string_view bytes, const std::vector<int>& fds = {});
  bool Send(uint32_t type, std::string_view payload = {}, const std::vector<int>& fds = {});
  bool Hello(uint32_t role);  // and takes the answer

  // The next message; none if the mediator hung up. Fails the test if nothing comes.
  std::optional<Message> Receive();
  // The next message, which must be of this type.
  Message Expect(uint32_t type);
  // The text of the ERROR that must come next, after which the mediator must hang up; its code in *code.
  std::string ExpectError(uint32_t* code = nullptr);
  // Waits until the mediator hangs up, whatever it says before. False: it does not.
  bool HungUp();

  void Close() { fd_.reset(); }

 private:
  bool ReceiveBytes(char* to, size_t bytes);

  base::UniqueFd fd_;
};

// A message as it is on the wire.
std::string Encode(uint32_t type, std::string_view payload);

}  // namespace vgpu::test

#endif  // VGPU_TESTS_DAEMON_PEER_H_
