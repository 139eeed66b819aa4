// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/worker_program.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace vgpu::mediator {
namespace {

namespace fs = std::filesystem;

class WorkerProgramTest : public testing::Test {
 protected:
  WorkerProgramTest() {
    std::string path = testing::TempDir() + "/worker_program_test_XXXXXX";
    folder_ = mkdtemp(path.data());
    fs::create_directories(folder_ / "bin");
    fs::create_directories(folder_ / "libexec" / "vgpu-ring");
  }
  ~WorkerProgramTest() override { fs::remove_all(folder_); }

  static void Write(const fs::path& path) { std::ofstream(path) << path.string(); }
  // The file behind what was opened, from the root.
  static fs::path Behind(const base::UniqueFd& fd) {
    return fs::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
  }

  fs::path folder_;
};

TEST_F(WorkerProgramTest, BesideTheMediator_ComesFirst) {
  Write(folder_ / "bin/vgpu-worker");
  Write(folder_ / "libexec/vgpu-ring/vgpu-worker");
  const auto worker = OpenWorker(folder_ / "bin/mediator");
  ASSERT_TRUE(worker) << worker.error();
  EXPECT_TRUE(fs::equivalent(Behind(*worker), folder_ / "bin/vgpu-worker"));
}

TEST_F(WorkerProgramTest, InLibexec_AsItIsInstalled) {
  Write(folder_ / "libexec/vgpu-ring/vgpu-worker");
  const auto worker = OpenWorker(folder_ / "bin/mediator");
  ASSERT_TRUE(worker) << worker.error();
  EXPECT_TRUE(fs::equivalent(Behind(*worker), folder_ / "libexec/vgpu-ring/vgpu-worker"));
}

TEST_F(WorkerProgramTest, Missing_ErrorNamesPlacesAndRemedy) {
  const auto worker = OpenWorker(folder_ / "bin/mediator");
  ASSERT_FALSE(worker);
  for (const std::string& text :
       {(folder_ / "bin/vgpu-worker").string(), (folder_ / "libexec/vgpu-ring/vgpu-worker").string(),
        std::string("install it")}) {
    EXPECT_NE(worker.error().find(text), std::string::npos) << worker.error();
  }
}

TEST_F(WorkerProgramTest, MediatorWithAnEnding_HasTheWorkerWithThatEnding) {
  Write(folder_ / "bin/vgpu-worker");
  EXPECT_FALSE(OpenWorker(folder_ / "bin/mediator_crash"));
  EXPECT_EQ(WorkerPlaces("/x/bin/mediator_crash")[0], "/x/bin/vgpu-worker_crash");
  EXPECT_EQ(WorkerPlaces("/x/bin/mediator-0.2")[1], "/x/libexec/vgpu-ring/vgpu-worker-0.2");
  EXPECT_EQ(WorkerPlaces("/x/bin/renamed")[0], "/x/bin/vgpu-worker");
}

// An upgrade removes the file and makes another one; who holds the old one open still starts it.
TEST_F(WorkerProgramTest, AnotherReleaseInstalledOver_TheOpenOneStays) {
  Write(folder_ / "bin/vgpu-worker");
  const auto worker = OpenWorker(folder_ / "bin/mediator");
  ASSERT_TRUE(worker) << worker.error();
  struct stat before {};
  ASSERT_EQ(fstat(worker->get(), &before), 0);
  Write(folder_ / "bin/new");
  fs::rename(folder_ / "bin/new", folder_ / "bin/vgpu-worker");
  struct stat path {
  }, held{};
  ASSERT_EQ(stat((folder_ / "bin/vgpu-worker").c_str(), &path), 0);
  ASSERT_EQ(fstat(worker->get(), &held), 0);
  EXPECT_NE(path.st_ino, held.st_ino);
  EXPECT_EQ(held.st_ino, before.st_ino);
}

TEST(OwnProgramTest, IsThisTest) {
  EXPECT_EQ(OwnProgram().filename().string().rfind("worker_program_test", 0), 0u) << OwnProgram();
}

}  // namespace
}  // namespace vgpu::mediator
