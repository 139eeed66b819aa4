// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/request.h"

#include <gtest/gtest.h>

namespace vgpu::bench::nfs {
namespace {

TEST(ParseRequest, ReadsTheOldSystemsExample) {
  const auto request = ParseRequest("A:2:1:100:200\n", 1);
  ASSERT_TRUE(request) << request.error();
  EXPECT_EQ(request->pool, 'A');
  EXPECT_EQ(request->priority, 2u);
  EXPECT_EQ(request->vm_id, 1u);
  EXPECT_EQ(request->sum(), 300);
}

TEST(ParseRequest, ReadsWhatTextOfWrites) {
  const Request sent = {'B', 0, 4294967295, INT32_MIN, INT32_MIN, 0};
  const auto got = ParseRequest(TextOf(sent), sent.vm_id);
  ASSERT_TRUE(got) << got.error();
  EXPECT_EQ(TextOf(*got), TextOf(sent));
  EXPECT_EQ(got->sum(), 2 * int64_t{INT32_MIN});
}

TEST(ParseRequest, ReadsVectors) {
  for (const uint64_t count : {uint64_t{1}, kVectorMax}) {
    const Request sent = {'A', 2, 7, 0, 0, count};
    const auto got = ParseRequest(TextOf(sent), 7);
    ASSERT_TRUE(got) << got.error();
    EXPECT_EQ(got->vector, count);
  }
  const auto numbers = ParseRequest("A:2:1:100:200\n", 1);
  ASSERT_TRUE(numbers) << numbers.error();
  EXPECT_EQ(numbers->vector, 0u);
}

TEST(ParseRequest, RefusesVectorsAgainstTheRules) {
  for (const char* line :
       {"A:2:1:vector:0", "A:2:1:vector:16777217", "A:2:1:vector:-1", "A:2:1:vector:", "A:2:1:vector",
        "A:2:1:vector:1:2", "A:2:1:vector: 1", "A:2:1:vector:1x", "A:2:1:vector:1e3",
        "A:2:1:vector:18446744073709551616", "A:2:1:Vector:1", "A:2:1:vector\0:1", "A:2:1:1:vector",
        "A:2:2:vector:1", "C:2:1:vector:1", "A:3:1:vector:1"}) {
    EXPECT_FALSE(ParseRequest(line, 1)) << line;
  }
}

TEST(ParseRequest, RefusesWhatTheOldSystemRefused) {
  for (const char* line : {"",
                           "\n",
                           "A",
                           "A:2:1:100",
                           "A:2:1:100:200:300",
                           "A:2:1:100:200\nA:2:1:1:1",
                           "C:2:1:1:1",
                           "a:2:1:1:1",
                           "AB:2:1:1:1",
                           ":2:1:1:1",
                           "A:3:1:1:1",
                           "A:-1:1:1:1",
                           "A::1:1:1",
                           "A:2:2:1:1",
                           "A:2:-1:1:1",
                           "A:2:1:1",
                           "A:2:1::1",
                           "A:2:1:1:",
                           "A:2:1:1.5:1",
                           "A:2:1: 1:1",
                           "A:2:1:2147483648:0",
                           "A:2:1:0x10:0"}) {
    EXPECT_FALSE(ParseRequest(line, 1)) << line;
  }
}

TEST(VmIdOf, TakesVmAndANumber) {
  EXPECT_EQ(VmIdOf("vm12").value_or(0), 12u);
  for (const char* name : {"", "vm", "vm1x", "vm-1", "VM1", "1", "xvm1"}) EXPECT_FALSE(VmIdOf(name)) << name;
}

}  // namespace
}  // namespace vgpu::bench::nfs
