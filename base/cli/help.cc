// SPDX-License-Identifier: Apache-2.0
#include "base/cli/help.h"

#include "base/cli/explain.h"

namespace vgpu::cli {

HelpFormatter::HelpFormatter() {
  column_width(28);
  label("Positionals", "Arguments");
  label("Subcommands", "Commands");
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
  std::string text = make_usage(app, name) + make_description(app) + make_positionals(app) +
                     make_subcommands(app, mode) + make_groups(app, mode);
  if (app->get_parent() != nullptr) text += InheritedGroups(app);
  return CLI::detail::find_and_replace(text, "\n\n\n", "\n\n") + make_footer(app);
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  std::string text = "Usage: " + name;
  const auto word = [](const CLI::Option* option, const std::string& what) {
    return option->get_required() ? " " + what : " [" + what + "]";
  };
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) text += word(option, option->get_name(true));
  }
  for (const CLI::Option* option : app->get_options()) {
    if (option->nonpositional() && option->get_required()) {
      text += " " + make_option_name(option, false) + make_option_opts(option);
    }
  }
  if (!ShownCommands(*app).empty()) text += app->get_require_subcommand_min() > 0 ? " COMMAND" : " [COMMAND]";
  return text + " [OPTIONS]\n\n";
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return app->get_description() + "\n";
}

// The first spelling; the others are only understood.
std::string HelpFormatter::make_option_name(const CLI::Option* option, bool is_positional) const {
  if (is_positional) return option->get_name(true);
  const auto& shorts = option->get_snames();
  return (shorts.empty() ? "" : "-" + shorts[0] + ", ") + option->get_name();
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  if (option->get_positional()) return "";
  std::string text;
  for (int i = 0; i < option->get_items_expected_min(); ++i) text += " " + option->get_type_name();
  return text;
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::string text = option->get_description();
  if (!option->get_default_str().empty()) text += " (default: " + option->get_default_str() + ")";
  return text;
}

std::vector<const CLI::Option*> HelpFormatter::Inherited(const CLI::App* command,
                                                         const std::string& group) const {
  const CLI::App* program = command->get_parent();
  const auto hidden = hidden_.find(command);
  return program->get_options([&](const CLI::Option* option) {
    return option->get_group() == group && option->nonpositional() && option != program->get_help_ptr() &&
           option != program->get_version_ptr() &&
           (hidden == hidden_.end() || !hidden->second.contains(option));
  });
}

std::string HelpFormatter::InheritedGroups(const CLI::App* command) const {
  std::string text;
  for (const std::string& group : command->get_parent()->get_groups()) {
    const auto options = Inherited(command, group);
    if (!options.empty())
      text += make_group(group == "Options" ? "Options of every command" : group, false, options);
  }
  return text;
}

}  // namespace vgpu::cli
