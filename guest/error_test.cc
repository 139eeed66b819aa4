// SPDX-License-Identifier: Apache-2.0
#include "guest/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "api/codes.h"
#include "base/channel.h"

namespace vgpu::guest {
namespace {

constexpr uint32_t kLocalFirst = VGPU_ERR_NO_DEVICE;
constexpr uint32_t kLocalLast = VGPU_ERR_DEVICE_GONE;

TEST(Error, EveryCode_HasANameOfItsOwn_AndAnExplanation) {
  std::set<std::string> names;
  const auto check = [&](uint32_t code) {
    SCOPED_TRACE(code);
    EXPECT_STRNE(CodeName(code), "unknown code");
    EXPECT_TRUE(names.insert(CodeName(code)).second);
    const std::string text = ExplainCode(code);
    ASSERT_FALSE(text.empty());
    EXPECT_EQ(text.back(), '.');
    EXPECT_TRUE(code == VGPU_OK || text.size() > 20) << text;
  };
  for (uint32_t code = VGPU_OK; code <= VGPU_ERR_CANCELLED; ++code) check(code);
  for (uint32_t code = kLocalFirst; code <= kLocalLast; ++code) check(code);
  check(0xf0);
}

TEST(Error, CudaRange_AndUnknownCodes) {
  EXPECT_STREQ(CodeName(0xff), CodeName(0xf0));
  for (const uint32_t code : {16u, 0xefu, kLocalLast + 1, UINT32_MAX}) {
    EXPECT_STREQ(CodeName(code), "unknown code");
    EXPECT_NE(std::strlen(ExplainCode(code)), 0u);
  }
}

TEST(Error, Refused_NamesCodeMeaningAndRemedy) {
  const Error error = Refused(VGPU_ERR_QUEUE_FULL);
  EXPECT_EQ(error.code, VGPU_ERR_QUEUE_FULL);
  EXPECT_NE(error.text.find("code 7 (queue full)"), std::string::npos) << error.text;
  EXPECT_NE(error.text.find("take answers"), std::string::npos) << error.text;
}

// However a failure is told, nobody who looks at its code takes it for a success.
TEST(Error, NoErrorHasCode0) {
  const Error errors[] = {Error(VGPU_OK, "text"),        Refused(VGPU_OK),
                          Fail(VGPU_OK, "text").value(), FailErrno(VGPU_OK, "text").value(),
                          Unattached(VGPU_OK, "text"),   DeviceGone()};
  for (const Error& error : errors) {
    EXPECT_NE(error.code, VGPU_OK) << error.text;
    EXPECT_EQ(error.text.find("No error"), std::string::npos) << error.text;
  }
  for (uint32_t code = 1; code <= 0x200; ++code) EXPECT_EQ(Refused(code).code, code);
}

TEST(Error, AConnectionThatBreaks_MayComeAgain_AndOneOfAnotherVersionMayNot) {
  using base::ChannelFault;
  for (const ChannelFault fault : {ChannelFault::kForeign, ChannelFault::kVersion, ChannelFault::kTooLong}) {
    EXPECT_EQ(CodeOf(base::ChannelError{fault}), VGPU_ERR_VERSION);
  }
  EXPECT_EQ(CodeOf(base::ChannelError{ChannelFault::kCutOff}), VGPU_ERR_UNAVAILABLE);
}

TEST(Error, FailErrno_AddsTheSystemsReason) {
  errno = ENOSPC;
  const Error error = FailErrno(VGPU_ERR_SYSTEM, "cannot do it").value();
  EXPECT_EQ(error.text, std::string("cannot do it: ") + std::strerror(ENOSPC));
}

}  // namespace
}  // namespace vgpu::guest
