// SPDX-License-Identifier: Apache-2.0
#include "base/json_text.h"

#include <gtest/gtest.h>

namespace vgpu::base {
namespace {

TEST(JsonTextTest, TextIsKept) {
  EXPECT_EQ(JsonText({{"name", "Caf\u00e9"}, {"count", 1}}), "{\"count\":1,\"name\":\"Caf\u00e9\"}");
  EXPECT_EQ(JsonText({{"a", 1}}, 2), "{\n  \"a\": 1\n}");
}

TEST(JsonTextTest, NotUtf8_ReplacedAndStillJson) {
  for (const char* name : {"Acme\xae CPU", "\xff\xff\xff", "cut \xe2\x82"}) {
    const auto parsed = nlohmann::json::parse(JsonText({{"name", name}}), nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << name;
    EXPECT_NE(parsed.at("name").get<std::string>().find("\ufffd"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace vgpu::base
