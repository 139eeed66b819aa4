// SPDX-License-Identifier: Apache-2.0
// What the mediator and an engine say to each other: frames (base/channel.h), as on the control socket, over
// one end of a socket pair. Each is small and goes at once (base::SendFrame): the mediator asks one thing at
// a time.
#ifndef VGPU_ENGINE_MESSAGES_H_
#define VGPU_ENGINE_MESSAGES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/channel.h"
#include "engine/options.h"
#include "ring/abi.h"

namespace vgpu::engine {

inline constexpr base::FrameFormat kEngineFormat{.magic = 0x4e454756,  // "VGEN" in memory order
                                                 .version = kProtocol,
                                                 .fds_max = 2,
                                                 .payload_max = 1024,
                                                 .queued_max = 4096};

// An answer's type is its question's + 1.
enum MessageType : uint32_t {
  kReady = 1,     // engine: ReadyMessage
  kFailed,        // engine: TextMessage; it ends
  kRegister,      // mediator: RegisterMessage; descriptors: the region's, and the rings file's if it has one
  kRegistered,    // engine: RegisteredMessage
  kUnregister,    // mediator: RegionMessage; nothing of it is in flight
  kUnregistered,  // engine: RegionMessage
  kHangs,         // engine: TextMessage; the driver does not return; it ends
  kIdle,          // engine: empty; it had nothing to do for EngineOptions::park_s
};

// Texts end with a zero byte.
struct ReadyMessage {
  uint64_t memory_bytes;
  uint32_t gpus;  // that this machine has
  uint32_t reserved;
  char name[96];
  char driver[64];
};

struct TextMessage {
  char text[256];
};

struct RegionMessage {
  uint32_t region;  // below kRegionsMax
  uint32_t reserved;
};

struct RegisterMessage {
  uint32_t region;
  uint32_t reserved;
  vgpu_layout layout;
};

struct RegisteredMessage {
  uint32_t region;
  uint32_t ok;
  char text[256];  // if it is not
};

// What comes with a RegisterMessage; -1: none.
struct MessageFds {
  int region = -1;
  int rings = -1;
};

// Copies text into a message's field, cut off at its end.
template <size_t kBytes>
void SetText(char (&field)[kBytes], std::string_view text) {
  const size_t length = std::min(text.size(), kBytes - 1);
  text.copy(field, length);
  field[length] = 0;
}

// The text of a field, which may lack its zero byte.
template <size_t kBytes>
std::string TextOf(const char (&field)[kBytes]) {
  return {field, strnlen(field, kBytes)};
}

// The bytes of a message.
template <class T>
std::string_view BytesOf(const T& message) {
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_MESSAGES_H_
