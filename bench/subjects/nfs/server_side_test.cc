// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/server_side.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/lib/process.h"
#include "bench/subjects/nfs/text_file.h"
#include "bench/subjects/nfs/vector_file.h"

namespace vgpu::bench::nfs {
namespace {

namespace fs = std::filesystem;

class ServerSideTest : public testing::Test {
 protected:
  // `age`: how many seconds ago the guest wrote it.
  void Ask(int vm, const std::string& line, int age = 0) {
    fs::create_directory(folder_ / Vm(vm));
    Empty(Path(vm, kResponseFile));
    WriteLine(Path(vm, kRequestFile), line);
    fs::last_write_time(Path(vm, kRequestFile), fs::file_time_type::clock::now() - std::chrono::seconds(age));
  }
  std::string Answer(int vm) const { return ReadLine(Path(vm, kResponseFile)); }
  // Serves one request and says whose it was; 0: nobody's.
  int ServeAndSayWhose() {
    if (!host_.ServeOne()) return 0;
    for (int vm = 1; vm < 10; ++vm) {
      if (!fs::exists(folder_ / Vm(vm)) || Answer(vm).empty()) continue;
      Empty(Path(vm, kResponseFile));
      return vm;
    }
    return -1;
  }

  void Put(int vm, const char* file, const std::vector<uint32_t>& elements) {
    fs::create_directory(folder_ / Vm(vm));
    WriteWhole(Open(Path(vm, file), O_WRONLY | O_CREAT).get(), file, elements.data(),
               elements.size() * sizeof(uint32_t));
  }
  std::vector<uint32_t> Sums(int vm, size_t count) const {
    std::vector<uint32_t> sums(count);
    ReadWhole(Open(Path(vm, kFileOfSums), O_RDONLY).get(), kFileOfSums, sums.data(),
              count * sizeof(uint32_t));
    return sums;
  }

  static std::string Vm(int vm) { return "vm" + std::to_string(vm); }
  std::string Path(int vm, const char* file) const { return folder_ / (Vm(vm) + "/" + file); }

  TempDir folder_;
  ServerSide host_{folder_ / ""};
};

TEST_F(ServerSideTest, AnswersOnce) {
  Ask(1, "A:2:1:100:200\n");
  host_.Poll();
  EXPECT_EQ(Answer(1), "");
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Answer(1), "300\n");
  host_.Poll();
  EXPECT_FALSE(host_.ServeOne());
}

TEST_F(ServerSideTest, ServesByPriorityThenArrival) {
  Ask(1, "A:0:1:1:1\n", 9);
  Ask(2, "A:1:2:1:1\n", 1);
  Ask(3, "B:1:3:1:1\n", 5);
  Ask(4, "A:2:4:1:1\n", 0);
  host_.Poll();
  Ask(5, "A:2:5:1:1\n", 9);  // written before, but seen in a later look
  host_.Poll();
  for (const int vm : {4, 5, 3, 2, 1, 0}) EXPECT_EQ(ServeAndSayWhose(), vm);
}

TEST_F(ServerSideTest, AddsVectorsFromFilesToAFile) {
  Put(1, kFileOfA, {1, 2, UINT32_MAX});
  Put(1, kFileOfB, {10, 20, 2});
  Ask(1, "A:2:1:vector:3\n");
  host_.Poll();
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Answer(1), "3\n");
  EXPECT_EQ(Sums(1, 3), (std::vector<uint32_t>{11, 22, 1}));
  Put(1, kFileOfA, {5});  // the rest is an earlier request's
  Ask(1, "A:2:1:vector:1\n");
  host_.Poll();
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Sums(1, 1), (std::vector<uint32_t>{15}));
}

TEST_F(ServerSideTest, RefusesVectorsWithoutTheirFiles) {
  Ask(1, "A:2:1:vector:3\n");
  host_.Poll();
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_TRUE(Answer(1).starts_with("ERROR: cannot open ")) << Answer(1);
  Put(1, kFileOfA, {1, 2, 3});
  Put(1, kFileOfB, {1, 2});
  Ask(1, "A:2:1:vector:3\n");
  host_.Poll();
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Answer(1), "ERROR: b.bin has 8 bytes instead of 12\n");
  Ask(1, "A:2:1:100:200\n");  // and goes on
  host_.Poll();
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Answer(1), "300\n");
}

TEST_F(ServerSideTest, WaitsForTheWholeLine) {
  Ask(1, "A:2:1:100:20");
  host_.Poll();
  EXPECT_FALSE(host_.ServeOne());
  Ask(1, "A:2:1:100:200\n");
  host_.Poll();
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Answer(1), "300\n");
}

TEST_F(ServerSideTest, RefusesAnothersName) {
  Ask(1, "A:2:2:100:200\n");
  Ask(2, "A:2:2:1:2\n");
  host_.Poll();
  EXPECT_EQ(Answer(1), "ERROR: vm_id is not 1, its folder's\n");
  EXPECT_TRUE(host_.ServeOne());
  EXPECT_EQ(Answer(2), "3\n");
  EXPECT_FALSE(host_.ServeOne());
}

TEST_F(ServerSideTest, PollsFoldersOfVmsOnly) {
  fs::create_directory(folder_ / "other");
  WriteLine(folder_ / "other/request.txt", "A:2:1:100:200\n");
  WriteLine(folder_ / "vm1", "not a folder\n");
  host_.Poll();
  EXPECT_FALSE(host_.ServeOne());
}

}  // namespace
}  // namespace vgpu::bench::nfs
