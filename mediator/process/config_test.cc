// SPDX-License-Identifier: Apache-2.0
#include "mediator/process/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace vgpu::mediator {
namespace {

std::string ErrorOf(const std::string& text) {
  const auto config = ParseConfig(text, "a.toml");
  return config ? "no error" : config.error();
}

TEST(ConfigTest, Empty_Defaults) {
  const auto config = ParseConfig("", "a.toml");
  ASSERT_TRUE(config) << config.error();
  EXPECT_EQ(config->socket, "");
  EXPECT_EQ(config->backend, BackendChoice::kAuto);
  EXPECT_EQ(config->wait, WaitMode::kAdaptive);
  EXPECT_EQ(config->workers, 0u);
  EXPECT_EQ(config->trace, "");
  EXPECT_EQ(config->vms_max, 256u);
  EXPECT_EQ(config->region_bytes_max, VGPU_REGION_BYTES_MAX);
  EXPECT_EQ(config->silent_s, 30u);
  EXPECT_TRUE(config->vms.empty());
}

TEST(ConfigTest, EveryKey_Read) {
  const auto config = ParseConfig(R"(
socket = "/run/here.sock"
backend = "cpu"
wait = "sleep"
workers = 3
[trace]
file = "/tmp/trace"
records = 1000
[limits]
vms_max = 8
region_bytes_max = 1048576
silent_s = 5
[[vm]]
id = 7
pool = "B"
priority = "high"
[[vm]]
id = 4294967295
)",
                                  "a.toml");
  ASSERT_TRUE(config) << config.error();
  EXPECT_EQ(config->socket, "/run/here.sock");
  EXPECT_EQ(config->backend, BackendChoice::kCpu);
  EXPECT_EQ(config->wait, WaitMode::kSleep);
  EXPECT_EQ(config->workers, 3u);
  EXPECT_EQ(config->trace, "/tmp/trace");
  EXPECT_EQ(config->trace_records, 1000u);
  EXPECT_EQ(config->vms_max, 8u);
  EXPECT_EQ(config->region_bytes_max, 1048576u);
  EXPECT_EQ(config->silent_s, 5u);
  ASSERT_EQ(config->vms.size(), 2u);
  EXPECT_EQ(config->vms[0].vm_id, 7u);
  EXPECT_EQ(config->vms[0].pool, 'B');
  EXPECT_EQ(config->vms[0].priority, 2u);
  EXPECT_EQ(config->vms[1].vm_id, 4294967295u);
  EXPECT_EQ(config->vms[1].pool, 'A');
  EXPECT_EQ(config->vms[1].priority, 1u);
}

TEST(ConfigTest, GpuTable_EveryKey) {
  const auto config = ParseConfig(
      "[gpu]\nengine = \"launch\"\ndriver_library = \"x.so\"\nspare = false\ntimeout_ms = 10\nidle_ms = "
      "1\npark_s = 0\n"
      "start_ms = 1000\ncopy_from_kib = 0\npool_a = [1, 0]\npool_b = [1]\n",
      "a.toml");
  ASSERT_TRUE(config) << config.error();
  const GpuConfig& gpu = config->gpu;
  EXPECT_FALSE(gpu.resident);
  EXPECT_EQ(gpu.driver_library, "x.so");
  EXPECT_FALSE(gpu.spare);
  EXPECT_EQ(gpu.timeout_ms, 10u);
  EXPECT_EQ(gpu.idle_ms, 1u);
  EXPECT_EQ(gpu.park_s, 0u);
  EXPECT_EQ(gpu.start_ms, 1000u);
  EXPECT_EQ(gpu.copy_from_kib, 0u);
  ASSERT_EQ(gpu.gpus.size(), 2u);
  EXPECT_EQ(gpu.gpus[0].ordinal, 1);
  EXPECT_EQ(gpu.gpus[0].pools, (std::vector<char>{'A', 'B'}));
  EXPECT_EQ(gpu.gpus[1].ordinal, 0);
  EXPECT_EQ(gpu.gpus[1].pools, (std::vector<char>{'A'}));
}

TEST(ConfigTest, Mistakes_NameFileLineAndReason) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"\nsockt = \"x\"", "a.toml:2: unknown key 'sockt'; known here: "},
      {"[limits]\nvm_max = 3",
       "a.toml:2: unknown key 'vm_max'; known here: region_bytes_max, silent_s, vms_max"},
      {"[trace]\nrecord = 3", "a.toml:2: unknown key 'record'"},
      {"[[vm]]\nid = 1\n\nprio = \"low\"", "a.toml:4: unknown key 'prio'"},
      {"socket = 3", "a.toml:1: socket is not a string"},
      {"backend = \"abacus\"", "a.toml:1: backend 'abacus' is none of auto, cpu, cuda"},
      {"backend = true", "a.toml:1: backend is not a string"},
      {"\n\nwait = \"often\"", "a.toml:3: wait 'often' is none of adaptive, sleep, spin"},
      {"workers = -1", "a.toml:1: workers is not an integer from 0 to 256"},
      {"workers = 257", "a.toml:1: workers is not an integer from 0 to 256"},
      {"workers = 1.5", "a.toml:1: workers is not an integer"},
      {"workers = \"2\"", "a.toml:1: workers is not an integer"},
      {"[trace]\nrecords = 0", "a.toml:2: records is not an integer from 1 to"},
      {"trace = \"file\"", "a.toml:1: trace is not a table: write [trace]"},
      {"limits = 1", "a.toml:1: limits is not a table: write [limits]"},
      {"[limits]\nvms_max = 0", "a.toml:2: vms_max is not an integer from 1 to 1024"},
      {"[limits]\nregion_bytes_max = 65535",
       "a.toml:2: region_bytes_max is not an integer from 65536 to 68719476736"},
      {"[limits]\nregion_bytes_max = 68719476737", "a.toml:2: region_bytes_max is not an integer from"},
      {"[limits]\nsilent_s = 0", "a.toml:2: silent_s is not an integer from 1 to 3600"},
      {"[gpu]\npark_ms = 1", "a.toml:2: unknown key 'park_ms'"},
      {"[gpu]\npark_s = -1", "a.toml:2: park_s is not an integer from 0 to 86400"},
      {"[gpu]\nstart_ms = 999", "a.toml:2: start_ms is not an integer from 1000 to 600000"},
      {"[gpu]\nstart_ms = 2000\ntimeout_ms = 2000", "a.toml:1: start_ms is not more than timeout_ms"},
      {"[gpu]\nengine = \"resident\"", "a.toml:2: engine 'resident' is none of"},
      {"vm = 1", "a.toml:1: vm is not a list: write [[vm]]"},
      {"vm = [1, 2]", "a.toml:1: vm is not a list: write [[vm]]"},
      {"[vm]\nid = 1", "a.toml:1: vm is not a list: write [[vm]]"},
      {"[[vm]]\npool = \"A\"", "a.toml:1: a [[vm]] needs an id"},
      {"[[vm]]\nid = -1", "a.toml:2: id is not an integer from 0 to 4294967295"},
      {"[[vm]]\nid = 4294967296", "a.toml:2: id is not an integer from 0 to 4294967295"},
      {"[[vm]]\nid = 1\npool = \"C\"", "a.toml:3: pool is neither \"A\" nor \"B\""},
      {"[[vm]]\nid = 1\npool = \"\"", "a.toml:3: pool is neither \"A\" nor \"B\""},
      {"[[vm]]\nid = 1\npriority = \"urgent\"", "a.toml:3: priority 'urgent' is none of low, medium, high"},
      {"[[vm]]\nid = 1\npriority = 2", "a.toml:3: priority is not a string"},
      {"[[vm]]\nid = 1\n[[vm]]\nid = 2\n[[vm]]\nid = 1", "a.toml:5: VM 1 is there twice"},
      {"workers = 1\nworkers = 2", "a.toml:2: "},
      {"workers = \n", "a.toml:1: "},
      {"[limits\n", "a.toml:1: "},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(ErrorOf(text).rfind(error, 0), 0u)
        << text << "\nsays: " << ErrorOf(text) << "\nnot:  " << error;
  }
}

TEST(ConfigTest, NoVmsInAList_AcceptsAll) {
  const auto config = ParseConfig("vm = []", "a.toml");
  ASSERT_TRUE(config) << config.error();
  EXPECT_TRUE(config->vms.empty());
}

TEST(ConfigTest, Load_NamesTheFile) {
  const auto missing = LoadConfig("/no/such/file.toml");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().find("/no/such/file.toml"), std::string::npos);
  const std::string path = testing::TempDir() + "/config_test.toml";
  std::ofstream(path) << "workers = 5\n";
  const auto config = LoadConfig(path);
  ASSERT_TRUE(config) << config.error();
  EXPECT_EQ(config->workers, 5u);
  std::ofstream(path) << "workers = x\n";
  EXPECT_EQ(LoadConfig(path).error().rfind(path + ":1: ", 0), 0u) << LoadConfig(path).error();
}

TEST(ConfigTest, Load_PipeThatNobodyWritesTo_IsNotWaitedForWithoutEnd) {
  const std::string path = testing::TempDir() + "/config_test.pipe";
  unlink(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const auto silent = LoadConfig(path);
  ASSERT_FALSE(silent);
  EXPECT_NE(silent.error().find("nobody has written to this pipe"), std::string::npos) << silent.error();

  std::thread writer([&path] { std::ofstream(path) << "workers = 5\n"; });
  const auto written = LoadConfig(path);
  writer.join();
  ASSERT_TRUE(written) << written.error();
  EXPECT_EQ(written->workers, 5u);
}

TEST(ConfigTest, Load_WhatCannotBeRead) {
  const auto error = [](const std::string& path) {
    const auto config = LoadConfig(path);
    return config ? "no error" : config.error();
  };
  EXPECT_NE(error("/proc/self/mem").find("/proc/self/mem: Input/output error"), std::string::npos);
  EXPECT_NE(error("/tmp").find("/tmp: Is a directory"), std::string::npos);
  EXPECT_NE(error("/no/such/file.toml").find("No such file"), std::string::npos);
  EXPECT_NE(error("/dev/zero").find("is it a configuration?"), std::string::npos);
}

TEST(ConfigTest, NestedTooDeeply_IsRefused) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "a.";
  for (const std::string& line : {deep + "b = 1", "[" + deep + "b]", "[[" + deep + "b]]",
                                  "x = {" + deep + "b = 1}", "\"a\". " + deep + " b = 1"}) {
    EXPECT_EQ(ErrorOf("wait = \"spin\"\n" + line).rfind("a.toml:2: ", 0), 0u);
  }
  EXPECT_NE(ErrorOf("x = " + std::string(200'000, '[')), "no error");
  std::string tables;
  for (int i = 0; i < 50'000; ++i) tables += "{a=";
  EXPECT_NE(ErrorOf("x = " + tables), "no error");
  EXPECT_EQ(ErrorOf("# " + std::string(200'000, '.') + "\nworkers = 1"), "no error");
}

TEST(ConfigTest, DefaultSocket_FollowsTheEnvironment) {
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(DefaultSocket(), "/run/user/7/vgpu-ring/mediator.sock");
  setenv("XDG_RUNTIME_DIR", "", 1);
  setenv("HOME", "/home/somebody", 1);
  const std::string elsewhere =
      geteuid() == 0 ? "/run/vgpu-ring/mediator.sock" : "/home/somebody/.vgpu-ring/mediator.sock";
  EXPECT_EQ(DefaultSocket(), elsewhere);
  unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(DefaultSocket(), elsewhere);
  unsetenv("HOME");  // the password database knows
  EXPECT_EQ(DefaultSocket().find("/tmp"), std::string::npos) << DefaultSocket();
}

}  // namespace
}  // namespace vgpu::mediator
