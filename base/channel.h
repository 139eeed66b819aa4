// SPDX-License-Identifier: Apache-2.0
// Frames over a stream socket of AF_UNIX: a header, so many bytes, and descriptors that come with them
// (SCM_RIGHTS). Nothing here knows what a frame means, and no call waits for the other end (base/connect.h
// has one that does).
//
// The other end may be hostile. Whatever it sends, and however: a frame with more bytes or descriptors than
// the format allows is refused, and each descriptor that came is closed or given to the caller. Whether it
// reads or not: no more bytes are queued for it than the format allows.
#ifndef VGPU_BASE_CHANNEL_H_
#define VGPU_BASE_CHANNEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace vgpu::base {

// In the byte order of x86: little-endian.
struct FrameHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
  uint32_t size;  // bytes after this header
  uint32_t reserved;
};
static_assert(sizeof(FrameHeader) == 16);

// What all frames of a protocol have, and the bounds of this end of it.
struct FrameFormat {
  uint32_t magic;
  uint16_t version;
  uint32_t fds_max;      // descriptors of one frame, to receive; 0: the kernel drops those that come
  uint32_t payload_max;  // bytes of one frame, to receive
  size_t queued_max;     // bytes that wait until the other end reads
};

FrameHeader HeaderOf(const FrameFormat& format, uint32_t type, size_t payload_bytes);

template <class Fd>
struct Frame {
  uint32_t type = 0;
  std::vector<char> payload;
  std::vector<Fd> fds;

  // The payload as a T; null if its size differs.
  template <class T>
  const T* As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    return payload.size() == sizeof(T) ? reinterpret_cast<const T*>(payload.data()) : nullptr;
  }
};

enum class Received : uint8_t { kFrame, kNothingYet, kClosed };

// A breach of the protocol: the connection is of no use any more.
enum class ChannelFault : uint8_t {
  kForeign,     // what came is no frame of this protocol
  kVersion,     // of another version of it: `value`
  kTooLong,     // a payload of `value` bytes
  kTooManyFds,  // more than the format allows
  kNoFdsLeft,   // this process may not have as many descriptors as came
  kCutOff,      // the connection ended in the middle of a frame
};
struct ChannelError {
  ChannelFault fault;
  uint32_t value = 0;
};

// Sends a frame of up to 4 KiB of payload and eight descriptors with one call, as a whole or not at all: any
// thread may, also from a signal handler. False: not sent, errno says why; EAGAIN: the other end does not
// read. Not while a channel of this socket is pending().
bool SendFrame(int socket, const FrameFormat& format, uint32_t type, std::string_view payload,
               std::span<const int> fds = {});

// Bytes that a socket has not taken yet.
class FrameQueue {
 public:
  // Sends or queues a frame. False: errno says why; EAGAIN: as much waits as may.
  bool Send(int socket, const FrameFormat& format, uint32_t type, std::string_view payload);
  bool empty() const { return sent_ == bytes_.size(); }
  // False: the other end is gone.
  bool Flush(int socket);

 private:
  std::string bytes_;
  size_t sent_ = 0;
};

// What one call of recvmsg brought. The descriptors have no owner yet.
struct Portion {
  static constexpr size_t kFdsMax = 253;  // SCM_MAX_FD of the kernel, which closes what does not fit

  Received received = Received::kClosed;
  size_t bytes = 0;
  size_t fd_count = 0;
  bool fds_lost = false;
  std::array<int, kFdsMax> fds;
};
// Receives up to `bytes` bytes (kFrame: at least one came). Descriptors are dropped unless `with_fds`.
void ReceivePortion(int socket, char* to, size_t bytes, bool with_fds, Portion* portion);

// A struct of a protocol, and no text.
template <class T>
concept PayloadStruct = std::is_trivially_copyable_v<T> && !std::is_convertible_v<const T&, std::string_view>;

// One end of a connection. Owns its socket. One thread at a time. Fd owns a descriptor, and is made from one.
template <class Fd>
class BasicChannel {
 public:
  using Received = base::Received;

  BasicChannel(Fd socket, const FrameFormat& format) : socket_(std::move(socket)), format_(format) {}
  BasicChannel(BasicChannel&&) noexcept = default;
  BasicChannel& operator=(BasicChannel&&) noexcept = default;

  int fd() const { return socket_.get(); }

  // The next whole frame. What has come of an unfinished one is kept for the next call.
  tl::expected<Received, ChannelError> Receive(Frame<Fd>* frame);

  // Sends or queues. False: the other end does not read, or is gone.
  bool Send(uint32_t type, std::string_view payload) { return out_.Send(fd(), format_, type, payload); }
  template <PayloadStruct T>
  bool Send(uint32_t type, const T& payload) {
    return Send(type, std::string_view(reinterpret_cast<const char*>(&payload), sizeof payload));
  }

  // Is something queued that the socket did not take? Flush when it is writable again.
  bool pending() const { return !out_.empty(); }
  bool Flush() { return out_.Flush(fd()); }

  // The other's connection comes in the place of this one, under the same number: whoever polls the number
  // never meets a stranger's descriptor.
  void Become(BasicChannel other);

 private:
  // Of the frame that is being received.
  struct Incoming {
    FrameHeader header{};
    size_t header_have = 0;
    std::vector<char> payload;
    size_t payload_have = 0;
    std::vector<Fd> fds;
  };

  tl::expected<Received, ChannelError> Fill(char* to, size_t want, size_t* have);
  tl::expected<void, ChannelError> CheckHeader() const;

  Fd socket_;
  FrameFormat format_;
  Incoming in_;
  FrameQueue out_;
};

using Channel = BasicChannel<UniqueFd>;

// Puts `from` under the number `to`, closed by exec. What `to` was before is closed.
void ReplaceDescriptor(int from, int to);

// ---- inline ----

// Receives until there are `want` bytes: kFrame.
template <class Fd>
tl::expected<Received, ChannelError> BasicChannel<Fd>::Fill(char* to, size_t want, size_t* have) {
  while (*have < want) {
    Portion portion;
    ReceivePortion(fd(), to + *have, want - *have, format_.fds_max != 0, &portion);
    if (portion.received != Received::kFrame) return portion.received;
    for (size_t i = 0; i < portion.fd_count; ++i) in_.fds.emplace_back(portion.fds[i]);
    if (in_.fds.size() > format_.fds_max) return tl::make_unexpected(ChannelError{ChannelFault::kTooManyFds});
    if (portion.fds_lost) return tl::make_unexpected(ChannelError{ChannelFault::kNoFdsLeft});
    *have += portion.bytes;
  }
  return Received::kFrame;
}

template <class Fd>
tl::expected<void, ChannelError> BasicChannel<Fd>::CheckHeader() const {
  const FrameHeader& header = in_.header;
  if (header.magic != format_.magic) return tl::make_unexpected(ChannelError{ChannelFault::kForeign});
  if (header.version != format_.version) {
    return tl::make_unexpected(ChannelError{ChannelFault::kVersion, header.version});
  }
  if (header.size > format_.payload_max) {
    return tl::make_unexpected(ChannelError{ChannelFault::kTooLong, header.size});
  }
  return {};
}

template <class Fd>
tl::expected<Received, ChannelError> BasicChannel<Fd>::Receive(Frame<Fd>* frame) {
  auto filled = Fill(reinterpret_cast<char*>(&in_.header), sizeof in_.header, &in_.header_have);
  if (filled && *filled == Received::kFrame) {
    if (const auto valid = CheckHeader(); !valid) return tl::make_unexpected(valid.error());
    in_.payload.resize(in_.header.size);
    filled = Fill(in_.payload.data(), in_.payload.size(), &in_.payload_have);
  }
  if (!filled || *filled == Received::kNothingYet) return filled;
  if (*filled == Received::kClosed) {
    if (in_.header_have == 0) return filled;
    return tl::make_unexpected(ChannelError{ChannelFault::kCutOff});
  }
  Incoming whole = std::exchange(in_, Incoming{});
  frame->type = whole.header.type;
  frame->payload = std::move(whole.payload);
  frame->fds = std::move(whole.fds);
  return Received::kFrame;
}

template <class Fd>
void BasicChannel<Fd>::Become(BasicChannel other) {
  ReplaceDescriptor(other.fd(), fd());
  format_ = other.format_;
  in_ = std::move(other.in_);
  out_ = std::move(other.out_);
}

}  // namespace vgpu::base

#endif  // VGPU_BASE_CHANNEL_H_
