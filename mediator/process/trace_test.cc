// SPDX-License-Identifier: Apache-2.0
#include "mediator/process/trace.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "base/bus_error_guard.h"

namespace vgpu::mediator {
namespace {

class TraceTest : public testing::Test {
 protected:
  std::string Path() const { return testing::TempDir() + "/trace_test_" + std::to_string(getpid()); }
  void TearDown() override { unlink(Path().c_str()); }

  std::unique_ptr<Trace> Create(uint64_t records_max) {
    auto trace = Trace::Create(Path(), records_max);
    EXPECT_TRUE(trace) << trace.error();
    return trace ? std::move(*trace) : nullptr;
  }
  static TraceRecord Record(uint32_t i) {
    return {int64_t{1} << 40 | i,
            i,
            i + 1,
            static_cast<uint8_t>(i % 9),
            static_cast<uint8_t>(i % 3),
            static_cast<TraceEvent>(i % 4),
            static_cast<uint8_t>(i % 16),
            0};
  }
  // Reads the trace, which must hold the records 0 to count - 1.
  void ExpectRecords(uint32_t count, uint64_t expected_dropped) {
    uint64_t dropped = ~0ull;
    const auto records = ReadTrace(Path(), &dropped);
    ASSERT_TRUE(records) << records.error();
    EXPECT_EQ(dropped, expected_dropped);
    ASSERT_EQ(records->size(), count);
    for (uint32_t i = 0; i < count; ++i) {
      const TraceRecord expected = Record(i);
      EXPECT_EQ(std::memcmp(&(*records)[i], &expected, sizeof expected), 0) << "record " << i;
    }
  }
};

TEST_F(TraceTest, Empty_ReadsAsNothing) {
  const auto trace = Create(10);
  ExpectRecords(0, 0);
}

TEST_F(TraceTest, Records_AreReadWhileTheyAreWritten) {
  const auto trace = Create(10);
  for (uint32_t i = 0; i < 7; ++i) {
    trace->Add(Record(i));
    ExpectRecords(i + 1, 0);
  }
}

TEST_F(TraceTest, Full_KeepsTheFirstAndCountsTheRest) {
  auto trace = Create(3);
  for (uint32_t i = 0; i < 3; ++i) trace->Add(Record(i));
  ExpectRecords(3, 0);
  for (uint32_t i = 3; i < 8; ++i) trace->Add(Record(i));
  ExpectRecords(3, 5);
  trace.reset();
  ExpectRecords(3, 5);
}

TEST_F(TraceTest, OlderFile_IsReplaced) {
  Create(100)->Add(Record(5));
  const auto trace = Create(2);
  ExpectRecords(0, 0);
  trace->Add(Record(0));
  ExpectRecords(1, 0);
}

TEST_F(TraceTest, Create_NamesThePath) {
  const auto trace = Trace::Create("/no/such/folder/trace", 1);
  ASSERT_FALSE(trace);
  EXPECT_NE(trace.error().find("/no/such/folder/trace"), std::string::npos);
}

TEST_F(TraceTest, Create_NoRoomOnTheDisk) {
  const auto trace = Trace::Create(Path(), uint64_t{1} << 55);
  ASSERT_FALSE(trace);
  EXPECT_NE(trace.error().find("no room"), std::string::npos) << trace.error();
}

TEST_F(TraceTest, OtherFiles_AreKept) {
  for (const std::string& text :
       {std::string("Dear Sir or Madam"), std::string("x"), std::string(4096, '\0')}) {
    std::ofstream(Path(), std::ios::binary) << text;
    const auto trace = Trace::Create(Path(), 1);
    ASSERT_FALSE(trace);
    EXPECT_NE(trace.error().find("is no trace"), std::string::npos) << trace.error();
    std::ifstream file(Path(), std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
  }
  EXPECT_FALSE(Trace::Create("/dev/null", 1));
  EXPECT_FALSE(Trace::Create("/tmp", 1));
}

TEST_F(TraceTest, WrittenByAnother_IsKept) {
  const auto trace = Create(2);
  trace->Add(Record(0));
  EXPECT_FALSE(Trace::Create(Path(), 1));
  ExpectRecords(1, 0);
}

TEST_F(TraceTest, NoRoom_TheNextOneMayTryAgain) {
  EXPECT_FALSE(Trace::Create(Path(), uint64_t{1} << 55));
  Create(2)->Add(Record(0));
  ExpectRecords(1, 0);
}

TEST_F(TraceTest, TruncatedWhileItIsWritten_StopsAndLives) {
  base::bus_error_guard::Install();
  for (const off_t bytes : {off_t{0}, off_t{4096}}) {
    const auto trace = Create(1000);
    for (uint32_t i = 0; i < 500; ++i) trace->Add(Record(i));
    ASSERT_EQ(truncate(Path().c_str(), bytes), 0);
    for (uint32_t i = 0; i < 1000; ++i) trace->Add(Record(i));
    struct stat info;
    ASSERT_EQ(stat(Path().c_str(), &info), 0);
    EXPECT_EQ(info.st_size, bytes);
  }
}

TEST_F(TraceTest, Read_WhatIsNoTrace) {
  uint64_t dropped;
  EXPECT_FALSE(ReadTrace("/no/such/trace", &dropped));
  for (const size_t bytes : {size_t{0}, size_t{7}, size_t{31}, size_t{32}, size_t{4096}}) {
    std::ofstream(Path(), std::ios::binary) << std::string(bytes, 'x');
    const auto records = ReadTrace(Path(), &dropped);
    ASSERT_FALSE(records);
    EXPECT_NE(records.error().find("is not a trace"), std::string::npos);
  }
}

TEST_F(TraceTest, Read_Truncated) {
  {
    const auto trace = Create(10);
    for (uint32_t i = 0; i < 10; ++i) trace->Add(Record(i));
  }
  ASSERT_EQ(truncate(Path().c_str(), 32 + 9 * sizeof(TraceRecord) + 5), 0);
  uint64_t dropped;
  const auto records = ReadTrace(Path(), &dropped);
  ASSERT_FALSE(records);
  EXPECT_NE(records.error().find("is truncated"), std::string::npos);
}

TEST_F(TraceTest, EveryEvent_HasAName) {
  for (const TraceEvent event :
       {TraceEvent::kTaken, TraceEvent::kStarted, TraceEvent::kPiece, TraceEvent::kAnswered}) {
    EXPECT_STRNE(TraceEventName(event), "unknown");
  }
  EXPECT_STREQ(TraceEventName(TraceEvent{200}), "unknown");
}

}  // namespace
}  // namespace vgpu::mediator
