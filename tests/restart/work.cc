// SPDX-License-Identifier: Apache-2.0
#include "tests/restart/work.h"

#include <cstring>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "api/window.h"
#include "ring/abi.h"
#include "ring/regs.h"

namespace vgpu::test {
namespace {

// Where b and c lie; a is at the start.
constexpr uint64_t kBOff = kWorkBytes / 3 / 64 * 64;
constexpr uint64_t kCOff = 2 * kBOff;
static_assert(kLargeCount * sizeof(uint32_t) <= kBOff, "three large vectors fit");

constexpr uint32_t kUntouched = 0xdeadbeef;

struct WindowMessage {
  vgpu_window_request header;
  uint32_t param[2];
};
struct WindowReply {
  vgpu_window_response header;
  uint32_t sum;
};

std::string Wrong(const char* what, uint64_t is, uint64_t should) {
  return std::string(what) + " is " + std::to_string(is) + ", not " + std::to_string(should);
}

}  // namespace

const char* OpName(Op op) {
  switch (op) {
    case Op::kNop: return "NOP";
    case Op::kAdd: return "ADD";
    case Op::kDeviceInfo: return "DEVICE_INFO";
    case Op::kVaddSmall: return "VECTOR_ADD, small";
    case Op::kVaddLarge: return "VECTOR_ADD, large";
    case Op::kInPlaceSmall: return "VECTOR_ADD in place, small";
    case Op::kInPlaceLarge: return "VECTOR_ADD in place, large";
    case Op::kWindow: return "window";
  }
  return "?";
}

Work::Work(Op op, uint32_t serial, char* place, uint64_t off) : op_(op), serial_(serial), place_(place) {
  switch (op) {
    case Op::kNop: return;
    case Op::kAdd: args_[0] = vgpu_word(A(0), B(0)); return;
    case Op::kDeviceInfo: args_ = {off, sizeof(vgpu_device_info)}; return;
    case Op::kWindow: {
      const WindowMessage message{{VGPU_WINDOW_VERSION, VGPU_WINDOW_OP_VECTOR_ADD, 0, 2, 0, 0, {}},
                                  {A(0), B(0)}};
      std::memcpy(place, &message, sizeof message);
      args_[0] = sizeof message;
      return;
    }
    default: break;
  }
  auto* word = reinterpret_cast<uint32_t*>(place);
  for (uint64_t i = 0; i < count(); ++i) {
    word[i] = A(i);
    word[kBOff / 4 + i] = B(i);
    word[kCOff / 4 + i] = kUntouched;
  }
  args_ = {count(), off, off + kBOff, InPlace(op) ? off : off + kCOff};
}

uint32_t Work::opcode() const {
  switch (op_) {
    case Op::kNop: return VGPU_OP_NOP;
    case Op::kAdd: return VGPU_OP_ADD;
    case Op::kDeviceInfo: return VGPU_OP_DEVICE_INFO;
    case Op::kWindow: return VGPU_OP_WINDOW;
    default: return VGPU_OP_VECTOR_ADD;
  }
}

std::string Work::Check(ring::Answer answer) const {
  if (answer.code != VGPU_OK && !(InPlace(op_) && answer.code == VGPU_ERR_INTERRUPTED)) {
    return Wrong("the code", answer.code, VGPU_OK);
  }
  switch (op_) {
    case Op::kNop: return "";
    case Op::kAdd: return answer.data == A(0) + B(0) ? "" : Wrong("the sum", answer.data, A(0) + B(0));
    case Op::kDeviceInfo: {
      vgpu_device_info info;
      std::memcpy(&info, place_, sizeof info);
      if (answer.data != sizeof info) return Wrong("the length", answer.data, sizeof info);
      return info.abi_version == VGPU_ABI_VERSION ? ""
                                                  : Wrong("the version", info.abi_version, VGPU_ABI_VERSION);
    }
    case Op::kWindow: return CheckWindow(answer);
    default: return CheckVector(answer);
  }
}

std::string Work::CheckVector(ring::Answer answer) const {
  const auto* word = reinterpret_cast<const uint32_t*>(place_);
  const uint32_t* result = InPlace(op_) ? word : word + kCOff / 4;
  for (uint64_t i = 0; i < count(); ++i) {
    if (result[i] == A(i) + B(i)) continue;
    if (answer.code == VGPU_ERR_INTERRUPTED && result[i] == A(i)) continue;
    const bool twice = InPlace(op_) && result[i] == A(i) + 2 * B(i);
    return "element " + std::to_string(i) + (twice ? " was added twice" : " is wrong") + ", code " +
           std::to_string(answer.code);
  }
  return "";
}

std::string Work::CheckWindow(ring::Answer answer) const {
  WindowReply reply;
  std::memcpy(&reply, place_ + VGPU_WINDOW_BUF_BYTES, sizeof reply);
  if (answer.data != sizeof reply) return Wrong("the response's length", answer.data, sizeof reply);
  if (reply.header.status != VGPU_OK) return Wrong("the response's status", reply.header.status, VGPU_OK);
  return reply.sum == A(0) + B(0) ? "" : Wrong("the sum", reply.sum, A(0) + B(0));
}

}  // namespace vgpu::test
