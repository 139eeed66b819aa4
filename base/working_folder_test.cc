// SPDX-License-Identifier: Apache-2.0
#include "base/working_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace vgpu::base {
namespace {

namespace fs = std::filesystem;

constexpr char kVariable[] = "BUILD_WORKING_DIRECTORY";

class WorkingFolder : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv(kVariable); }
  void TearDown() override { fs::current_path(before_); }

  const fs::path before_ = fs::current_path();
};

TEST_F(WorkingFolder, StaysWhereBazelDidNotStartIt) {
  EXPECT_TRUE(EnterUsersFolder());
  EXPECT_EQ(fs::current_path(), before_);
}

TEST_F(WorkingFolder, IsTheUsersAndThatOfTheProgramsItStarts) {
  setenv(kVariable, "/proc", 1);
  EXPECT_TRUE(EnterUsersFolder());
  EXPECT_EQ(fs::current_path(), "/proc");
  fs::current_path("/");
  EXPECT_TRUE(EnterUsersFolder()) << "a child finds no variable";
  EXPECT_EQ(fs::current_path(), "/");
}

TEST_F(WorkingFolder, SaysWhyNot) {
  setenv(kVariable, "/no/such/folder", 1);
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(EnterUsersFolder());
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("cannot enter /no/such/folder (No such file"),
            std::string::npos);
  EXPECT_EQ(fs::current_path(), before_);
}

}  // namespace
}  // namespace vgpu::base
