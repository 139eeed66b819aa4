// SPDX-License-Identifier: Apache-2.0
#include "base/cli/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace vgpu::cli {
namespace {

const CLI::App& Chosen(const CLI::App& program) {
  const auto commands = program.get_subcommands();
  return commands.empty() ? program : *commands.front();
}

std::string Commands(const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : ShownCommands(program)) names.push_back(command->get_name());
  return fmt::format("commands are {}", fmt::join(names, ", "));
}

// What nobody asked for; empty: there is nothing of the kind.
std::string ExplainStranger(const CLI::App& program) {
  const std::vector<std::string> strangers = program.remaining(true);
  const auto option = std::find_if(strangers.begin(), strangers.end(), [](const std::string& stranger) {
    return stranger.size() > 1 && stranger[0] == '-' &&
           std::isdigit(static_cast<unsigned char>(stranger[1])) == 0;
  });
  if (option != strangers.end() && *option != "--") {
    return fmt::format("unknown option '{}'", option->substr(0, option->find('=')));
  }
  const auto word =
      std::find_if(strangers.begin(), strangers.end(), [](const std::string& s) { return s != "--"; });
  if (word == strangers.end()) return "";
  const bool command = &Chosen(program) == &program && !ShownCommands(program).empty();
  return command ? fmt::format("unknown command '{}'; {}", *word, Commands(program))
                 : fmt::format("unexpected argument '{}'", *word);
}

std::string Values(int n) { return n == 1 ? "1 value" : fmt::format("{} values", n); }

// An option with too many values, or too few; CLI11 says which one before the first colon.
std::string ExplainCount(const CLI::App& program, const std::string& what) {
  const std::string name = what.substr(0, what.find(':'));
  const CLI::Option* option = Chosen(program).get_option_no_throw(name);
  if (option == nullptr) option = program.get_option_no_throw(name);
  if (option == nullptr) {  // "json was given a disallowed flag override"
    return fmt::format("--{} is a flag: it takes no value", what.substr(0, what.find(' ')));
  }
  const int expected = option->get_items_expected_min();
  const auto given = static_cast<int>(option->count());
  if (given > expected) return fmt::format("{} takes {}, and {} are given", name, Values(expected), given);
  return fmt::format("{} needs {}", name, expected == 1 ? "a value" : Values(expected));
}

// By type: CLI11 names some errors after the program.
template <class Kind>
bool Is(const CLI::Error& error) {
  return dynamic_cast<const Kind*>(&error) != nullptr;
}

}  // namespace

std::vector<const CLI::App*> ShownCommands(const CLI::App& program) {
  return program.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::string Explain(const CLI::App& program, const CLI::Error& error) {
  const std::string what = error.what();
  if (Is<CLI::RequiredError>(error) || Is<CLI::RequiresError>(error) || Is<CLI::ExtrasError>(error)) {
    // A word with a typing error is the reason for what is missing.
    if (const std::string stranger = ExplainStranger(program); !stranger.empty()) return stranger;
  }
  if (Is<CLI::RequiredError>(error) && &Chosen(program) == &program && !ShownCommands(program).empty()) {
    return "no command is given; " + Commands(program);
  }
  if (Is<CLI::ArgumentMismatch>(error)) return ExplainCount(program, what);
  if (Is<CLI::RequiresError>(error)) return what + ", too";
  if (Is<CLI::ExcludesError>(error)) return what + ": leave one of them out";
  return what;
}

}  // namespace vgpu::cli
