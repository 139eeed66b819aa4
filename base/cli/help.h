// SPDX-License-Identifier: Apache-2.0
// What --help prints.
#ifndef VGPU_BASE_CLI_HELP_H_
#define VGPU_BASE_CLI_HELP_H_

#include <CLI/CLI.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace vgpu::cli {

// A command's help shows the program's options, too, since they work there; but for those that are hidden.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter();
  void Hide(const CLI::App* command, const CLI::Option* option) { hidden_[command].insert(option); }

  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_description(const CLI::App* app) const override;
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;

 private:
  std::vector<const CLI::Option*> Inherited(const CLI::App* command, const std::string& group) const;
  std::string InheritedGroups(const CLI::App* command) const;

  std::map<const CLI::App*, std::set<const CLI::Option*>> hidden_;
};

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_HELP_H_
