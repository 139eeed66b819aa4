// SPDX-License-Identifier: Apache-2.0
#include "base/cli/program.h"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <sstream>

#include "base/cli/error.h"
#include "base/cli/exit.h"
#include "base/cli/explain.h"
#include "base/cli/help.h"
#include "base/cli/options.h"
#include "base/cli/output.h"
#include "base/version.h"
#include "base/working_folder.h"

namespace vgpu::cli {
namespace {

// Is JSON wanted? The command line may be wrong before --json was reached, so CLI11 cannot say.
bool WantsJson(const CLI::App& app, int argc, char** argv) {
  const auto is_flag = [](const CLI::App* part) {
    const CLI::Option* option = part->get_option_no_throw("--json");
    return option != nullptr && option->get_items_expected_max() == 0;
  };
  if (!is_flag(&app)) return false;
  for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) return true;
  }
  return false;
}

std::string FailureMessage(const CLI::App* program, const CLI::Error& error) {
  const auto commands = program->get_subcommands();
  return fmt::format("{}; see '{}{} --help'", Explain(*program, error), program->get_name(),
                     commands.empty() ? "" : " " + commands.front()->get_name());
}

}  // namespace

Program::Program(const std::string& name, const std::string& help)
    : name_(name), app_(help, name), formatter_(std::make_shared<HelpFormatter>()) {
  app_.formatter(formatter_);  // commands take it and the message from here
  app_.failure_message(FailureMessage);
  app_.set_help_flag("-h,--help", "print this and end");
  app_.set_version_flag("--version", name + " " + base::kVersion, "print the version and end");
}

CLI::App* Program::AddCommand(const std::string& name, const std::string& help, std::function<int()> run) {
  CLI::App* command = app_.add_subcommand(name, help)->group("Commands")->fallthrough();
  app_.require_subcommand(1);
  commands_.emplace_back(command, std::move(run));
  return command;
}

void Program::Hide(const CLI::App* command, std::initializer_list<const CLI::Option*> options) {
  for (const CLI::Option* option : options) formatter_->Hide(command, option);
}

std::optional<int> Program::Parse(int argc, char** argv) {
  ReserveStandardDescriptors();
  if (!base::EnterUsersFolder()) return kExitUsage;
  try {
    app_.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    IgnoreOutputSignals();  // the program ends here
    std::ostringstream out;
    std::ostringstream text;
    const bool done = app_.exit(error, out, text) == 0;
    PrintText(out.str());
    if (!done) PrintError(name_, WantsJson(app_, argc, argv), kBadArgument, kBadArgumentName, text.str());
    return FinishOutput(name_, done ? kExitOk : kExitUsage);
  }
}

int Program::RunCommand() {
  for (const auto& [command, run] : commands_) {
    if (command->parsed()) return run();
  }
  return kExitUsage;  // not reached: CLI11 wants one
}

int Program::Run(int argc, char** argv) {
  if (const auto status = Parse(argc, argv)) return *status;
  IgnoreOutputSignals();
  int status = kExitFailed;
  try {
    status = RunCommand();
  } catch (const std::exception& error) {
    Say(name_, fmt::format("out of resources: {}", error.what()));
  }
  return FinishOutput(name_, status);
}

}  // namespace vgpu::cli
