// SPDX-License-Identifier: Apache-2.0
// vgpu-client as its users meet it when something is wrong: exit codes,
// and sentences that say what to do next.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guest/subprocess.h"

namespace vgpu::guest {
namespace {

using Args = std::vector<std::string>;

Outcome Client(Args args) {
  args.insert(args.begin(), ProgramPath("guest/vgpu-client"));
  return RunProgram(args);
}

std::string Joined(const Args& args) {
  std::string text;
  for (const std::string& arg : args) text += " " + arg;
  return text;
}

TEST(VgpuClient, UsageErrors_ExitTwo_AndSayWhy) {
  const Args bad[] = {
      {},
      {"fly"},
      {"add"},
      {"add", "1"},
      {"add", "1", "2", "3"},
      {"add", "1", "two"},
      {"add", "1.5", "2"},
      {"add", "", "2"},
      {"add", "0x10", "2"},
      {"add", "1 ", "2"},
      {"add", "2147483648", "0"},
      {"add", "0", "-2147483649"},
      {"add", "99999999999999999999", "0"},
      {"vadd"},
      {"vadd", "--count", "0"},
      {"vadd", "--count", "-1"},
      {"vadd", "--count", "many"},
      {"vadd", "--count", "10", "--type", "i8"},
      {"ping"},
      {"ping", "--count", "0"},
      {"ping", "--count", "1", "--depth", "0"},
      {"ping", "--count", "1", "--depth", "4294967296"},
      {"ping", "--count", "1", "--think", "-1"},
      {"add", "1", "2", "--timeout", "-1"},
      {"add", "1", "2", "--timeout", "soon"},
      {"add", "1", "2", "--ring", "-1"},
      {"add", "1", "2", "--pool", "A"},
      {"add", "1", "2", "--socket", "/s", "--pool", "C"},
      {"add", "1", "2", "--socket", "/s", "--priority", "urgent"},
      {"add", "1", "2", "--socket", "/s", "--device", "0000:00:04.0"},
      {"add", "1", "2", "--socket", std::string(300, 'x')},
      {"add", "1", "2", "--socket", "/s", "--entries", "3"},
      {"add", "1", "2", "--socket", "/s", "--region", "12345"},
      {"add", "1", "2", "--timeout", "nan"},
      {"add", "1", "2", "--timeout", "inf"},
      {"add", "1", "2", "--timeout", "1e9"},
      {"add", "1", "2", "--ring", "8"},
      {"add", "1", "2", "--json=maybe"},
      {"ping", "--count", "18446744073709551616"},
      {"ping", "--count", "1", "--seed", "18446744073709551616"},
      {"ping", "--count", "1", "--seconds", "nan"},
      {"ping", "--count", "1", "--count", "2"},
      {"ping", "--cuont", "1"},
      {"vadd", "--count", "1", "--seed", "-1"},
      {"regs", "--count", "1", "--seconds", "inf"},
      {"regs", "--add", "1"},
      {"regs", "--add", "1", "4294967296"},
      {"regs", "--count", "0"},
      {"regs", "--socket", "/s"},
  };
  for (const Args& args : bad) {
    SCOPED_TRACE(Joined(args));
    const Outcome outcome = Client(args);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_GT(outcome.err.size(), 10u);
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(VgpuClient, Help_ExitsZero) {
  for (const Args& args : {Args{"--help"}, Args{"ping", "--help"}}) {
    const Outcome outcome = Client(args);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_NE(outcome.out.find("--"), std::string::npos);
  }
}

TEST(VgpuClient, UsageErrors_AreSentences) {
  const std::pair<Args, const char*> bad[] = {
      {{"fly"},
       "unknown command 'fly'; commands are info, add, vadd, ping, bench, regs; see 'vgpu-client --help'"},
      {{"vadd", "--count", "1", "--type", "x"},
       "--type: 'x' is none of i32, i64, f32, f64; see 'vgpu-client vadd --help'"},
      {{"info", "--socket", "/s", "--pool", "C"},
       "--pool: 'C' is none of A, B; see 'vgpu-client info --help'"},
      {{"info", "--timeout", "nan"},
       "--timeout: 'nan' is not a number of seconds from 0 to 1000000; see 'vgpu-client info --help'"},
      {{"ping", "--count", "0"},
       "--count: '0' is not a decimal integer from 1 to 2^64-1; see 'vgpu-client ping --help'"},
      {{"ping", "--cuont", "1"}, "unknown option '--cuont'; see 'vgpu-client ping --help'"},
  };
  for (const auto& [args, text] : bad)
    EXPECT_EQ(Client(args).err, std::string("vgpu-client: ") + text + "\n");
}

TEST(VgpuClient, UsageErrors_JsonLikeAnyOther) {
  for (const Args& args : {Args{"--json", "fly"}, Args{"fly", "--json"}, Args{"ping", "--json", "--count"},
                           Args{"info", "--json", "--region", "5", "--socket", "\xff"}}) {
    SCOPED_TRACE(Joined(args));
    const Outcome outcome = Client(args);
    EXPECT_EQ(outcome.exit_code, 2);
    const auto error = nlohmann::json::parse(outcome.out)["error"];
    EXPECT_EQ(error["code"], 0x104);
    EXPECT_EQ(error["name"], "bad argument");
    EXPECT_NE(error["text"], "");
  }
}

TEST(VgpuClient, BothSpellings_AndPriorityAsWordOrNumber) {
  for (const Args& args :
       {Args{"--vm_id", "7"}, Args{"--vm-id", "7"}, Args{"--priority", "2"}, Args{"--priority", "high"}}) {
    Args all = {"info", "--socket", "/nonexistent/socket"};
    all.insert(all.end(), args.begin(), args.end());
    EXPECT_EQ(Client(all).exit_code, 3) << Joined(all);
  }
}

TEST(VgpuClient, Version) {
  const Outcome outcome = Client({"--version"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.out.starts_with("vgpu-client ")) << outcome.out;
}

TEST(VgpuClient, Help_ShowsTheOptionsThatWorkThere) {
  const std::string ping = Client({"ping", "--help"}).out;
  for (const char* option :
       {"--count N", "--json", "--timeout SECONDS", "--socket PATH", "--device ADDRESS"}) {
    EXPECT_NE(ping.find(option), std::string::npos) << option << " is missing in\n" << ping;
  }
  const std::string regs = Client({"regs", "--help"}).out;
  EXPECT_NE(regs.find("--device ADDRESS"), std::string::npos) << regs;
  EXPECT_EQ(regs.find("--socket"), std::string::npos) << regs;
}

TEST(VgpuClient, NoDevice_ExitsThree) {
  for (const char* command : {"info", "regs"}) {
    const Outcome outcome = Client({command, "--device", "ffff:ff:1f.7"});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find("there is no PCI device 'ffff:ff:1f.7'"), std::string::npos) << outcome.err;
  }
}

TEST(VgpuClient, DeviceFromTheEnvironment) {
  setenv("VGPU_DEVICE", "ffff:ff:1f.6", 1);
  const Outcome outcome = Client({"add", "1", "2"});
  unsetenv("VGPU_DEVICE");
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_NE(outcome.err.find("ffff:ff:1f.6"), std::string::npos) << outcome.err;
}

TEST(VgpuClient, NoMediator_ExitsThree_JsonToo) {
  const Outcome plain = Client({"add", "1", "2", "--socket", "/nonexistent/socket"});
  EXPECT_EQ(plain.exit_code, 3);
  EXPECT_NE(plain.err.find("no mediator listens on /nonexistent/socket"), std::string::npos) << plain.err;
  const Outcome json = Client({"--json", "--socket", "/nonexistent/socket", "add", "-1", "-2"});
  EXPECT_EQ(json.exit_code, 3);
  const auto parsed = nlohmann::json::parse(json.out);
  EXPECT_EQ(parsed["error"]["code"], 3);
  EXPECT_EQ(parsed["error"]["name"], "mediator unavailable");
}

}  // namespace
}  // namespace vgpu::guest
