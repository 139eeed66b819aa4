// SPDX-License-Identifier: Apache-2.0
// The window's client against a page of plain memory: what it writes, and what it makes of what it reads. The
// state machine behind the page is the device's, and tested with it.
#include "guest/register_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "api/codes.h"
#include "base/sanitized.h"

namespace vgpu::guest {
namespace {

class RegisterWindowTest : public testing::Test {
 protected:
  RegisterWindowTest() { Word(VGPU_REG_PROTOCOL_VER) = VGPU_WINDOW_VERSION; }

  uint32_t& Word(uint32_t off) { return page_[off / 4]; }

  // What the device would hold when the request has ended.
  void Respond(const vgpu_window_response& response, uint32_t bytes,
               std::initializer_list<uint32_t> results) {
    std::memcpy(&Word(VGPU_REG_RESPONSE_BUF), &response, sizeof(response));
    std::copy(results.begin(), results.end(), &Word(VGPU_REG_RESPONSE_BUF + sizeof(response)));
    Word(VGPU_REG_RESPONSE_LEN) = bytes;
    Word(VGPU_REG_STATUS) = VGPU_STATUS_DONE;
  }
  Result<int32_t> Add(int32_t a, int32_t b) {
    return window_.Add(a, b, Clock::now() + std::chrono::milliseconds(20));
  }
  void ExpectDamaged() {
    auto sum = Add(1, 2);
    ASSERT_FALSE(sum);
    EXPECT_EQ(sum.error().code, VGPU_ERR_VERSION);
  }

  alignas(64) std::array<uint32_t, VGPU_BAR0_BYTES / 4> page_{};
  const Registers registers_{page_.data()};
  const RegisterWindow window_{registers_, std::chrono::microseconds(50)};
};

constexpr vgpu_window_response kSum = {VGPU_WINDOW_VERSION, VGPU_OK, 1, 36, 0, 3, {0, 0}};

TEST_F(RegisterWindowTest, Add_WritesTheRequestAsOldGuestsDo) {
  Respond(kSum, 36, {300});
  auto sum = Add(100, -5);
  ASSERT_TRUE(sum) << sum.error().text;
  EXPECT_EQ(*sum, 300);
  const uint32_t expected[] = {VGPU_WINDOW_VERSION, VGPU_WINDOW_OP_VECTOR_ADD, 0, 2, 0, 0, 0, 0, 100,
                               0xfffffffb};
  EXPECT_EQ(std::memcmp(&Word(VGPU_REG_REQUEST_BUF), expected, sizeof(expected)), 0);
  EXPECT_EQ(Word(VGPU_REG_REQUEST_LEN), sizeof(expected));
  EXPECT_EQ(Word(VGPU_REG_DOORBELL), 1u);
}

TEST_F(RegisterWindowTest, NegativeSum) {
  Respond(kSum, 36, {0xffffffff});
  EXPECT_EQ(Add(0, -1), -1);
}

TEST_F(RegisterWindowTest, DeviceRefuses_CodeAndRemedy) {
  Word(VGPU_REG_STATUS) = VGPU_STATUS_ERROR;
  Word(VGPU_REG_ERROR_CODE) = VGPU_ERR_UNAVAILABLE;
  auto sum = Add(1, 2);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(sum.error().text.find("start it on the host"), std::string::npos) << sum.error().text;
}

TEST_F(RegisterWindowTest, MediatorRefusesThisVm_SaysSoInsteadOfStartIt) {
  Word(VGPU_REG_STATUS) = VGPU_STATUS_ERROR;
  Word(VGPU_REG_ERROR_CODE) = VGPU_ERR_UNAVAILABLE;
  Word(VGPU_REG_REFUSAL) = VGPU_ERR_TOO_LARGE;
  auto sum = Add(1, 2);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(sum.error().text.find("refuses this VM (code 2: its region is too large"), std::string::npos)
      << sum.error().text;
}

TEST_F(RegisterWindowTest, MediatorRefuses_CodeOfTheResponse) {
  vgpu_window_response refusal = kSum;
  refusal.status = VGPU_ERR_UNSUPPORTED;
  refusal.result_count = 0;
  Respond(refusal, sizeof(refusal), {});
  auto sum = Add(1, 2);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, VGPU_ERR_UNSUPPORTED);
}

TEST_F(RegisterWindowTest, BusyForEver_TimesOut) {
  Word(VGPU_REG_STATUS) = VGPU_STATUS_BUSY;
  auto sum = Add(1, 2);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, VGPU_ERR_TIMEOUT);
  EXPECT_EQ(Word(VGPU_REG_DOORBELL), 0u) << "a window in use is left alone";
}

TEST_F(RegisterWindowTest, StatusThatCannotBe_IsAnErrorOfItsOwn) {
  const auto code = [&](uint32_t status) {
    Word(VGPU_REG_STATUS) = status;
    Word(VGPU_REG_DOORBELL) = 0;
    auto sum = Add(1, 2);
    EXPECT_FALSE(sum);
    return sum ? VGPU_OK : sum.error().code;
  };
  EXPECT_EQ(code(4), VGPU_ERR_VERSION);
  EXPECT_EQ(code(UINT32_MAX), VGPU_ERR_VERSION);
  EXPECT_EQ(Word(VGPU_REG_DOORBELL), 0u);
  EXPECT_EQ(code(VGPU_STATUS_IDLE), VGPU_ERR_RESET) << "a doorbell that was rung never leaves it idle";
}

TEST_F(RegisterWindowTest, ErrorWithoutACode_HasOne) {
  Word(VGPU_REG_STATUS) = VGPU_STATUS_ERROR;
  Word(VGPU_REG_ERROR_CODE) = VGPU_OK;
  auto sum = Add(1, 2);
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, VGPU_ERR_VERSION);
  EXPECT_EQ(sum.error().text.find("No error"), std::string::npos) << sum.error().text;
}

// A device that is gone, or whose memory decoding is off.
TEST_F(RegisterWindowTest, AllOnesOrZeros_AreNoAnswer) {
  for (const uint32_t nothing : {UINT32_MAX, 0u}) {
    std::fill(page_.begin(), page_.end(), nothing);
    auto sum = Add(1, 2);
    ASSERT_FALSE(sum);
    EXPECT_EQ(sum.error().code, VGPU_ERR_DEVICE_GONE);
    EXPECT_NE(sum.error().text.find("no longer answers"), std::string::npos) << sum.error().text;
  }
}

// What a reset does to the tag of the request, at any moment of it.
TEST_F(RegisterWindowTest, ResetUnderTheRequest_IsNoAnswer) {
  if (base::kSanitized)
    GTEST_SKIP() << "a thread plays the device: registers are volatile, which a sanitizer calls a race";
  Respond(kSum, 36, {300});
  std::atomic<bool> stop{false};
  std::thread resets([&] {
    while (!stop.load()) __atomic_store_n(&Word(VGPU_REG_REQUEST_ID), 0, __ATOMIC_RELAXED);
  });
  const TimePoint end = Clock::now() + std::chrono::seconds(20);
  auto sum = Add(1, 2);
  while (sum && Clock::now() < end) {
    EXPECT_EQ(*sum, 300);
    sum = Add(1, 2);
  }
  stop.store(true);
  resets.join();
  ASSERT_FALSE(sum);
  EXPECT_EQ(sum.error().code, VGPU_ERR_RESET);
}

TEST_F(RegisterWindowTest, DamagedResponses_AreErrors) {
  Respond(kSum, 4, {});
  ExpectDamaged();
  Respond(kSum, 1025, {1});
  ExpectDamaged();
  Respond(kSum, 32, {});  // announces a result that is not there
  ExpectDamaged();
  vgpu_window_response wrong = kSum;
  wrong.result_count = UINT32_MAX;
  Respond(wrong, 36, {1});
  ExpectDamaged();
  wrong = kSum;
  wrong.result_count = 0;  // a sum without a sum
  Respond(wrong, 36, {1});
  ExpectDamaged();
  wrong = kSum;
  wrong.data_offset = 30;
  wrong.data_length = 7;
  Respond(wrong, 36, {1});
  ExpectDamaged();
  wrong.data_offset = UINT32_MAX;
  wrong.data_length = 4;
  Respond(wrong, 36, {1});
  ExpectDamaged();
}

TEST_F(RegisterWindowTest, Data_IsCutOutOfTheMessage) {
  vgpu_window_response response = kSum;
  response.result_count = 0;
  response.data_offset = 32;
  response.data_length = 5;
  Respond(response, 37, {0x64636261, 0x65});
  auto got = window_.Call(VGPU_WINDOW_OP_DEVICE_INFO, {}, Clock::now() + std::chrono::seconds(1));
  ASSERT_TRUE(got) << got.error().text;
  EXPECT_EQ(std::string(got->data.begin(), got->data.end()), "abcde");
  EXPECT_EQ(got->exec_time_us, 3u);
}

}  // namespace
}  // namespace vgpu::guest
