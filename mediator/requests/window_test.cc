// SPDX-License-Identifier: Apache-2.0
#include "mediator/requests/window.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "api/codes.h"
#include "api/device_info.h"
#include "ring/regs.h"

namespace vgpu::mediator {
namespace {

constexpr uint32_t kHeader = sizeof(vgpu_window_request);

struct Message {
  vgpu_window_request header{VGPU_WINDOW_VERSION, VGPU_WINDOW_OP_NOP, 0, 0, 0, 0, {}};
  std::vector<uint32_t> params = {};

  std::vector<char> Bytes() const {
    std::vector<char> bytes(kHeader + params.size() * 4);
    std::memcpy(bytes.data(), &header, kHeader);
    if (!params.empty()) std::memcpy(bytes.data() + kHeader, params.data(), params.size() * 4);
    return bytes;
  }
};

class WindowTest : public testing::Test {
 protected:
  WindowTest() : response_(VGPU_WINDOW_BUF_BYTES) {
    info_.vm_id = 42;
    std::strcpy(info_.name, "a device");
  }

  // Answers, and checks what every response must be.
  vgpu_window_response Answer(const std::vector<char>& request) {
    std::fill(response_.begin(), response_.end(), '\x5a');
    answer_ = AnswerWindow(request, info_, response_);
    vgpu_window_response header;
    std::memcpy(&header, response_.data(), sizeof header);
    EXPECT_EQ(header.version, VGPU_WINDOW_VERSION);
    EXPECT_EQ(header.status, answer_.code);
    EXPECT_EQ(answer_.bytes, sizeof header + 4 * header.result_count + header.data_length);
    EXPECT_LE(answer_.bytes, response_.size());
    EXPECT_TRUE(header.data_length == 0 ? header.data_offset == 0
                                        : header.data_offset + header.data_length == answer_.bytes);
    EXPECT_EQ(header.reserved[0], 0u);
    EXPECT_EQ(header.reserved[1], 0u);
    for (size_t i = answer_.bytes; i < response_.size(); ++i)
      EXPECT_EQ(response_[i], '\x5a') << "wrote beyond its end";
    return header;
  }
  uint32_t Status(const Message& message) { return Answer(message.Bytes()).status; }
  uint32_t Result(uint32_t i) const {
    uint32_t value;
    std::memcpy(&value, response_.data() + sizeof(vgpu_window_response) + 4 * i, sizeof value);
    return value;
  }

  vgpu_device_info info_{};
  std::vector<char> response_;
  WindowAnswer answer_{};
};

Message Add(uint32_t a, uint32_t b) {
  Message message;
  message.header.opcode = VGPU_WINDOW_OP_VECTOR_ADD;
  message.header.param_count = 2;
  message.params = {a, b};
  return message;
}

TEST_F(WindowTest, Nop_EmptyResponse) {
  EXPECT_EQ(Status({}), VGPU_OK);
  EXPECT_EQ(answer_.bytes, sizeof(vgpu_window_response));
}

TEST_F(WindowTest, VectorAdd_OneSumThatWraps) {
  for (const auto& [a, b, sum] : {std::tuple{100u, 200u, 300u}, {~0u, 1u, 0u}, {1u << 31, 1u << 31, 0u}}) {
    const vgpu_window_response header = Answer(Add(a, b).Bytes());
    EXPECT_EQ(header.status, VGPU_OK);
    EXPECT_EQ(header.result_count, 1u);
    EXPECT_EQ(Result(0), sum);
  }
}

TEST_F(WindowTest, VectorAdd_OtherThanTwoParamsRefused) {
  for (uint32_t count : {0u, 1u, 3u, 4u}) {
    Message message = Add(1, 2);
    message.params.resize(8);
    message.header.param_count = count;
    EXPECT_EQ(Status(message), VGPU_ERR_INVALID_REQUEST) << count;
  }
}

TEST_F(WindowTest, DeviceInfo_IsTheInfo) {
  Message message;
  message.header.opcode = VGPU_WINDOW_OP_DEVICE_INFO;
  const vgpu_window_response header = Answer(message.Bytes());
  ASSERT_EQ(header.status, VGPU_OK);
  ASSERT_EQ(header.data_length, sizeof info_);
  EXPECT_EQ(std::memcmp(response_.data() + header.data_offset, &info_, sizeof info_), 0);
}

TEST_F(WindowTest, ReservedAndUnknownOpcodes_Unsupported) {
  for (const uint32_t opcode : {VGPU_WINDOW_OP_ALLOC, VGPU_WINDOW_OP_FREE, VGPU_WINDOW_OP_COPY,
                                VGPU_WINDOW_OP_SYNCHRONIZE, 7u, 16u, 0x100u, ~0u}) {
    Message message;
    message.header.opcode = opcode;
    EXPECT_EQ(Status(message), VGPU_ERR_UNSUPPORTED) << opcode;
    EXPECT_EQ(answer_.bytes, sizeof(vgpu_window_response));
  }
}

TEST_F(WindowTest, OtherVersion_Refused) {
  for (const uint32_t version : {0u, 1u, 0x00010001u, 0x00020000u, ~0u}) {
    Message message = Add(1, 2);
    message.header.version = version;
    EXPECT_EQ(Status(message), VGPU_ERR_INVALID_REQUEST) << version;
  }
}

TEST_F(WindowTest, ShorterThanItsHeader_InvalidLength) {
  const std::vector<char> whole = Message{}.Bytes();
  for (size_t bytes = 0; bytes < kHeader; ++bytes) {
    EXPECT_EQ(Answer({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes)}).status,
              VGPU_ERR_INVALID_LENGTH);
  }
}

TEST_F(WindowTest, ParamCountThatLies_InvalidLength) {
  for (const uint32_t count : {3u, 4u, 1u << 29, 1u << 30, (1u << 30) + 2, ~0u}) {
    Message message = Add(1, 2);
    message.header.param_count = count;
    EXPECT_EQ(Status(message), VGPU_ERR_INVALID_LENGTH) << count;
  }
  Message cut = Add(1, 2);
  std::vector<char> bytes = cut.Bytes();
  bytes.pop_back();  // the second param lacks a byte
  EXPECT_EQ(Answer(bytes).status, VGPU_ERR_INVALID_LENGTH);
}

TEST_F(WindowTest, DataThatLies_InvalidLength) {
  const uint32_t size = static_cast<uint32_t>(Add(1, 2).Bytes().size());
  const struct {
    uint32_t offset, length, status;
  } cases[] = {{0, 0, VGPU_OK},
               {size, 0, VGPU_OK},
               {size - 4, 4, VGPU_OK},
               {0, size, VGPU_OK},
               {size + 1, 0, VGPU_ERR_INVALID_LENGTH},
               {size - 4, 5, VGPU_ERR_INVALID_LENGTH},
               {0, size + 1, VGPU_ERR_INVALID_LENGTH},
               {~0u, 1, VGPU_ERR_INVALID_LENGTH},
               {1, ~0u, VGPU_ERR_INVALID_LENGTH},
               {~0u, ~0u, VGPU_ERR_INVALID_LENGTH},
               {1u << 31, 1u << 31, VGPU_ERR_INVALID_LENGTH}};
  for (const auto& [offset, length, status] : cases) {
    Message message = Add(1, 2);
    message.header.data_offset = offset;
    message.header.data_length = length;
    EXPECT_EQ(Status(message), status) << offset << " " << length;
  }
}

TEST_F(WindowTest, LargestMessage_Answered) {
  Message message;
  message.params.resize((VGPU_WINDOW_BUF_BYTES - kHeader) / 4);
  message.header.param_count = static_cast<uint32_t>(message.params.size());
  EXPECT_EQ(Status(message), VGPU_OK);
}

TEST_F(WindowTest, RandomMessages_AlwaysOneWholeResponse) {
  const char* given = std::getenv("VGPU_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  SCOPED_TRACE("VGPU_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    Message message = Add(static_cast<uint32_t>(random()), 7);
    message.header.opcode = static_cast<uint32_t>(random() % 8);
    message.params.resize(random() % 16);
    message.header.param_count = static_cast<uint32_t>(random() % 20);
    message.header.data_offset = static_cast<uint32_t>(random() >> random() % 64);
    message.header.data_length = static_cast<uint32_t>(random() >> random() % 64) % 128;
    // On the heap and of its exact size, so that a sanitizer sees a read beyond its end.
    accepted += Answer(message.Bytes()).status == VGPU_OK;
    if (HasFailure()) return;
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace vgpu::mediator
