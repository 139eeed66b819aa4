// SPDX-License-Identifier: Apache-2.0
// Whom a mediator may kill: what it finds in the record of one before it, and no one else.
#include "mediator/gpu/engine_record.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

namespace vgpu::mediator {
namespace {

class EngineRecordTest : public testing::Test {
 protected:
  EngineRecordTest()
      : path_(testing::TempDir() + "/engine_record_test_" + std::to_string(getpid())), record_(path_) {}
  ~EngineRecordTest() override {
    End();
    unlink(path_.c_str());
  }
  // A process of this name, which waits for its end.
  pid_t Start(const char* name) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      prctl(PR_SET_NAME, name);
      [[maybe_unused]] const ssize_t put = write(ready[1], "!", 1);
      for (;;) pause();
    }
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid_;
  }
  bool Killed() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
    pid_ = -1;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  void End() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::string Text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void Change(const std::string& from, const std::string& to) {
    std::string text = Text();
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    std::ofstream(path_) << text.replace(at, from.size(), to);
  }

  const std::string path_;
  const EngineRecord record_;
  pid_t pid_ = -1;
};

TEST_F(EngineRecordTest, EngineOfAMediatorThatDied_IsEnded) {
  record_.Write({Start("vgpu-engine")});
  EXPECT_TRUE(record_.EndOrphans());
  EXPECT_TRUE(Killed());
}

TEST_F(EngineRecordTest, EngineThatHasNotNamedItselfYet_IsEnded) {
  record_.Write({Start("27")});
  EXPECT_TRUE(record_.EndOrphans());
  EXPECT_TRUE(Killed());
}

TEST_F(EngineRecordTest, AnotherProgramWithTheNumbers_Lives) {
  record_.Write({Start("sleep")});
  EXPECT_TRUE(record_.EndOrphans());
  EXPECT_FALSE(Killed());
}

TEST_F(EngineRecordTest, RecordOfAnotherBoot_NobodyIsTouched) {
  record_.Write({Start("vgpu-engine")});
  const std::string text = Text();
  const size_t boot = text.find(' ') + 1;
  Change(text.substr(boot, text.find('\n') - boot), "00000000-0000-0000-0000-000000000000");
  EXPECT_TRUE(record_.EndOrphans());
  EXPECT_FALSE(Killed());
}

TEST_F(EngineRecordTest, AnotherStartTime_Lives) {
  const pid_t pid = Start("vgpu-engine");
  record_.Write({pid});
  Change("\n" + std::to_string(pid) + " ", "\n" + std::to_string(pid) + " 9");
  EXPECT_TRUE(record_.EndOrphans());
  EXPECT_FALSE(Killed());
}

TEST_F(EngineRecordTest, RecordsThatAreNone_AreIgnored) {
  const pid_t pid = Start("vgpu-engine");
  for (const std::string& text : {std::string(), std::string("\n"), std::to_string(pid) + " 1\n",
                                  std::string("vgpu-engines-1"), std::string(100'000, 'x')}) {
    std::ofstream(path_) << text;
    EXPECT_TRUE(record_.EndOrphans()) << text.substr(0, 40);
    EXPECT_FALSE(Killed());
  }
}

}  // namespace
}  // namespace vgpu::mediator
