// SPDX-License-Identifier: Apache-2.0
// What a program takes, and what it says to what it does not take.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/cli/explain.h"
#include "base/cli/options.h"
#include "base/cli/program.h"

namespace vgpu::cli {
namespace {

// A program with an option of every kind.
struct Specimen {
  Specimen() {
    CLI::App& app = program.app();
    AddFlag(app, "--json", &json, "print JSON");
    auto* socket = AddText(app, "--socket", &text, "a socket", "PATH");
    AddInteger(app, "--vm-id", &vm_id, "an identity")->needs(socket);
    AddText(app, "--device", &text, "a device", "ADDRESS")->excludes(socket);
    CLI::App* run = program.AddCommand("run", "runs", [] { return 0; });
    AddInteger(*run, "--seed", &seed, "of the numbers");
    AddInteger(*run, "--small", &small, "from 1 to 9", 1, 9)->capture_default_str();
    AddInteger(*run, "--pair", &pair, "two of them")->expected(2);
    AddSeconds(*run, "--timeout", &seconds, "to wait");
    AddBytes(*run, "--region", &bytes, "of memory");
    AddPriority(*run, "--priority", &priority, "of the requests");
    AddWord(*run, "--wait", &text, "what to do", {"sleep", "spin"});
    AddWords(*run, "--only", &only, "parts", {"a", "b"});
    AddReadableFile(*run, "--config", &text, "to read");
    CLI::App* walk = program.AddCommand("walk", "walks", [] { return 0; });
    AddInteger(*walk, "STEPS", &steps, "how many")->required();
    program.Hide(walk, {socket});
  }

  // Empty: all is right.
  std::string Parse(std::vector<std::string> args) {
    std::reverse(args.begin(), args.end());
    try {
      program.app().parse(args);
      return "";
    } catch (const CLI::ParseError& error) {
      return error.get_name() == "CallForHelp" ? program.app().help() : Explain(program.app(), error);
    }
  }

  Program program{"specimen", "A program."};
  bool json = false;
  std::string text;
  uint32_t vm_id = 0;
  std::optional<uint64_t> seed;
  uint32_t small = 5;
  std::vector<int32_t> pair;
  std::vector<std::string> only;
  double seconds = 0;
  uint64_t bytes = 0;
  uint32_t priority = 7;
  int32_t steps = 0;
};

std::string Parse(std::vector<std::string> args) { return Specimen().Parse(std::move(args)); }

TEST(Cli, Integer_WholeRange) {
  Specimen specimen;
  EXPECT_EQ(specimen.Parse({"run", "--seed", "18446744073709551615", "--pair", "-2147483648", "2147483647"}),
            "");
  EXPECT_EQ(specimen.seed, 18446744073709551615u);
  EXPECT_EQ(specimen.pair, (std::vector<int32_t>{-2147483648, 2147483647}));
}

TEST(Cli, Integer_DecimalOnly) {
  Specimen specimen;
  EXPECT_EQ(specimen.Parse({"run", "--seed", "010"}), "");
  EXPECT_EQ(specimen.seed, 10u);
  for (const char* bad :
       {"", " 1", "1 ", "+1", "0x10", "1e3", "1.0", "-1", "18446744073709551616", "one", "1_000"}) {
    EXPECT_EQ(Parse({"run", "--seed", bad}),
              "--seed: '" + std::string(bad) + "' is not a decimal integer from 0 to 2^64-1");
  }
  EXPECT_EQ(Parse({"run", "--small", "10"}), "--small: '10' is not a decimal integer from 1 to 9");
  EXPECT_EQ(Parse({"walk", "2147483648"}),
            "STEPS: '2147483648' is not a decimal integer from -2147483648 to 2147483647");
}

TEST(Cli, Seconds_Finite) {
  for (const char* good : {"0", "0.5", "5", "1e3", "1000000"})
    EXPECT_EQ(Parse({"run", "--timeout", good}), "");
  for (const char* bad :
       {"nan", "-nan", "NAN", "inf", "-inf", "infinity", "1e7", "1e999", "-1", "", "5s", "0x1p3"}) {
    EXPECT_EQ(Parse({"run", "--timeout", bad}),
              "--timeout: '" + std::string(bad) + "' is not a number of seconds from 0 to 1000000");
  }
}

TEST(Cli, Bytes_WithUnits) {
  const std::pair<const char*, uint64_t> good[] = {{"0", 0},
                                                   {"4096", 4096},
                                                   {"16M", 16u << 20},
                                                   {"16MiB", 16u << 20},
                                                   {"1g", 1u << 30},
                                                   {"2KB", 2048},
                                                   {"16777215T", uint64_t{16777215} << 40}};
  for (const auto& [text, value] : good) {
    Specimen specimen;
    EXPECT_EQ(specimen.Parse({"run", "--region", text}), "");
    EXPECT_EQ(specimen.bytes, value) << text;
  }
  for (const char* bad :
       {"", "M", "16X", "16 M", "16MM", "-1", "1.5G", "16777216T", "18446744073709551616"}) {
    EXPECT_EQ(
        Parse({"run", "--region", bad}),
        "--region: '" + std::string(bad) + "' is not a number of bytes such as 16777216, 16384K, 16M or 1G");
  }
}

TEST(Cli, Words) {
  const std::pair<const char*, uint32_t> good[] = {{"low", 0}, {"medium", 1}, {"high", 2},
                                                   {"0", 0},   {"1", 1},      {"2", 2}};
  for (const auto& [text, value] : good) {
    Specimen specimen;
    EXPECT_EQ(specimen.Parse({"run", "--priority", text}), "");
    EXPECT_EQ(specimen.priority, value);
  }
  EXPECT_EQ(Parse({"run", "--priority", "3"}), "--priority: '3' is none of low, medium, high, 0, 1, 2");
  EXPECT_EQ(Parse({"run", "--only", "a", "b"}), "");
  EXPECT_EQ(Parse({"run", "--only", "a", "c"}), "--only: 'c' is none of a, b");
  EXPECT_EQ(Parse({"run", "--wait", "doze"}), "--wait: 'doze' is none of sleep, spin");
}

TEST(Cli, BothSpellings) {
  for (const char* name : {"--vm-id", "--vm_id"}) {
    Specimen specimen;
    EXPECT_EQ(specimen.Parse({"--socket", "/s", "run", name, "77"}), "");
    EXPECT_EQ(specimen.vm_id, 77u);
    EXPECT_EQ(Parse({"run", name, "77"}), "--vm-id requires --socket, too");
  }
}

TEST(Cli, Files) {
  EXPECT_EQ(Parse({"run", "--config", "/etc/hostname"}), "");
  EXPECT_EQ(Parse({"run", "--config", "/no/such"}),
            "--config: cannot read '/no/such': No such file or directory");
  EXPECT_EQ(Parse({"run", "--config", "/etc"}), "--config: '/etc' is a folder; name a file");
}

TEST(Cli, WhatIsNotKnownIsNamed) {
  EXPECT_EQ(Parse({}), "no command is given; commands are run, walk");
  EXPECT_EQ(Parse({"--json"}), "no command is given; commands are run, walk");
  EXPECT_EQ(Parse({"foo"}), "unknown command 'foo'; commands are run, walk");
  EXPECT_EQ(Parse({"foo", "--json"}), "unknown command 'foo'; commands are run, walk");
  EXPECT_EQ(Parse({"run", "--sede", "5"}), "unknown option '--sede'");
  EXPECT_EQ(Parse({"run", "--sede=5"}), "unknown option '--sede'");
  EXPECT_EQ(Parse({"walk", "--stepz"}), "unknown option '--stepz'");
  EXPECT_EQ(Parse({"-x", "run"}), "unknown option '-x'");
  EXPECT_EQ(Parse({"walk", "1", "2"}), "unexpected argument '2'");
  EXPECT_EQ(Parse({"walk", "1", "-2"}), "unexpected argument '-2'");
  EXPECT_EQ(Parse({"run", "walk"}), "unexpected argument 'walk'");
}

TEST(Cli, WhatDoesNotFitTogether) {
  EXPECT_EQ(Parse({"walk"}), "STEPS is required");
  EXPECT_EQ(Parse({"run", "--seed"}), "--seed needs a value");
  EXPECT_EQ(Parse({"run", "--socket", ""}), "--socket: the value is empty");
  EXPECT_EQ(Parse({"run", "--pair", "1"}), "--pair needs 2 values");
  EXPECT_EQ(Parse({"run", "--seed", "1", "--seed", "2"}), "--seed takes 1 value, and 2 are given");
  EXPECT_EQ(Parse({"run", "--json=no"}), "--json is a flag: it takes no value");
  EXPECT_EQ(Parse({"run", "--socket", "/s", "--device", "0"}),
            "--socket excludes --device: leave one of them out");
}

TEST(Cli, Help_OfACommand_ShowsWhatWorksThere) {
  const std::string run = Parse({"run", "--help"});
  for (const char* shown :
       {"Usage: specimen run [OPTIONS]\n", "--json", "--socket PATH", "--vm-id N", "--seed N", "--pair N N",
        "(default: 5)", "--wait sleep|spin", "--priority low|medium|high"}) {
    EXPECT_NE(run.find(shown), std::string::npos) << shown << " is missing in\n" << run;
  }
  EXPECT_EQ(run.find("--vm_id"), std::string::npos);
  const std::string walk = Parse({"walk", "--help"});
  EXPECT_NE(walk.find("Usage: specimen walk STEPS [OPTIONS]\n"), std::string::npos) << walk;
  EXPECT_NE(walk.find("--json"), std::string::npos) << walk;
  EXPECT_EQ(walk.find("--socket"), std::string::npos) << walk;
  const std::string program = Parse({"--help"});
  EXPECT_NE(program.find("Usage: specimen COMMAND [OPTIONS]\n"), std::string::npos) << program;
  EXPECT_NE(program.find("walks"), std::string::npos) << program;
}

}  // namespace
}  // namespace vgpu::cli
