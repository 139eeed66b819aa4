// SPDX-License-Identifier: Apache-2.0
// One program's command line, the same way for all: CLI11 with our words, exit statuses and output.
//
//   cli::Program program("vgpuctl", "The operator's view of a running mediator.");
//   cli::AddFlag(program.app(), "--json", &json, "print JSON");                   // works with every command
//   CLI::App* trace = program.AddCommand("trace", "prints a trace", [&] { return Trace(file); });
//   cli::AddText(*trace, "FILE", &file, "the trace")->required();
//   return program.Run(argc, argv);
#ifndef VGPU_BASE_CLI_PROGRAM_H_
#define VGPU_BASE_CLI_PROGRAM_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vgpu::cli {

class HelpFormatter;

class Program {
 public:
  // Has --help and --version.
  Program(const std::string& name, const std::string& help);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  CLI::App& app() { return app_; }

  // With one command or more, exactly one must be given; options of the program may come before and after it.
  CLI::App* AddCommand(const std::string& name, const std::string& help, std::function<int()> run);
  // The program's options that the command's --help does not show, because they mean nothing to it.
  void Hide(const CLI::App* command, std::initializer_list<const CLI::Option*> options);

  // Reads the command line. A status: --help or --version was printed, or the command line is wrong and that
  // was said (with a flag --json also as JSON): the program ends with it.
  std::optional<int> Parse(int argc, char** argv);

  // The whole program: reads the command line, runs the command, and looks whether its output arrived. For
  // programs that start no others: signals of lost output are ignored.
  int Run(int argc, char** argv);

 private:
  int RunCommand();

  const std::string name_;
  CLI::App app_;
  std::shared_ptr<HelpFormatter> formatter_;
  std::vector<std::pair<CLI::App*, std::function<int()>>> commands_;
};

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_PROGRAM_H_
