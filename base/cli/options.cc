// SPDX-License-Identifier: Apache-2.0
#include "base/cli/options.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>

namespace vgpu::cli {
namespace internal {
namespace {

std::string CheckSeconds(const std::string& text) {
  double value = 0;
  if (ParseNumber(text, &value) && std::isfinite(value) && value >= 0 && value <= kSecondsMax) return "";
  return fmt::format("'{}' is not a number of seconds from 0 to {:.0f}", text, kSecondsMax);
}

// The power of two that a unit stands for: "", "K", "KB", "KiB" and so on.
std::optional<int> ShiftOf(std::string unit) {
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::toupper(c); });
  if (unit.empty() || unit == "B") return 0;
  const size_t which = std::string_view("KMGT").find(unit[0]);
  const std::string rest = unit.substr(1);
  if (which == std::string_view::npos || (rest != "" && rest != "B" && rest != "IB")) return std::nullopt;
  return static_cast<int>(10 * (which + 1));
}

std::string CheckBytes(std::string& text) {
  const std::string wrong = "'" + text + "' is not a number of bytes such as 16777216, 16384K, 16M or 1G";
  uint64_t value = 0;
  const auto [unit, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto shift = ShiftOf(text.substr(static_cast<size_t>(unit - text.data())));
  if (error != std::errc() || !shift || value > UINT64_MAX >> *shift) return wrong;
  text = std::to_string(value << *shift);
  return "";
}

// A shell's variable that is not set, most likely: never a silent default.
std::string CheckNotEmpty(const std::string& text) { return text.empty() ? "the value is empty" : ""; }

std::string CheckReadable(const std::string& path) {
  // A pipe must not be waited for.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    const char* remedy = errno == EACCES ? "; run as a user that may read it, or change its permissions" : "";
    return fmt::format("cannot read '{}': {}{}", path, std::strerror(errno), remedy);
  }
  struct stat info;
  const bool folder = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
  close(fd);
  return folder ? fmt::format("'{}' is a folder; name a file", path) : "";
}

}  // namespace

std::string Spellings(const std::string& name) {
  if (!name.starts_with("--") || name.find('-', 2) == std::string::npos) return name;
  std::string other = name;
  std::replace(other.begin() + 2, other.end(), '-', '_');
  return name + "," + other;
}

std::string IntegerText(uint64_t value) { return value == UINT64_MAX ? "2^64-1" : std::to_string(value); }
std::string IntegerText(int64_t value) { return std::to_string(value); }

std::string CheckOneOf(const std::string& text, const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), text) != words.end()) return "";
  return fmt::format("'{}' is none of {}", text, fmt::join(words, ", "));
}

}  // namespace internal

CLI::Option* AddFlag(CLI::App& app, const std::string& name, bool* value, const std::string& help) {
  return app.add_flag(internal::Spellings(name), *value, help)->disable_flag_override();
}

CLI::Option* AddText(CLI::App& app, const std::string& name, std::string* value, const std::string& help,
                     const std::string& type) {
  return app.add_option(internal::Spellings(name), *value, help)
      ->check(internal::CheckNotEmpty)
      ->type_name(type);
}

CLI::Option* AddReadableFile(CLI::App& app, const std::string& name, std::string* value,
                             const std::string& help) {
  return AddText(app, name, value, help, "FILE")->check(internal::CheckReadable);
}

CLI::Option* AddSeconds(CLI::App& app, const std::string& name, double* value, const std::string& help) {
  return app.add_option(internal::Spellings(name), *value, help)
      ->check(internal::CheckSeconds)
      ->type_name("SECONDS");
}

CLI::Option* AddBytes(CLI::App& app, const std::string& name, uint64_t* value, const std::string& help) {
  return app.add_option(internal::Spellings(name), *value, help)
      ->transform(CLI::Validator(internal::CheckBytes, ""))
      ->type_name("BYTES");
}

CLI::Option* AddWord(CLI::App& app, const std::string& name, std::string* value, const std::string& help,
                     const std::vector<std::string>& words) {
  const auto check = [words](const std::string& text) { return internal::CheckOneOf(text, words); };
  return AddText(app, name, value, help, CLI::detail::join(words, "|"))->check(check);
}

CLI::Option* AddWords(CLI::App& app, const std::string& name, std::vector<std::string>* values,
                      const std::string& help, const std::vector<std::string>& words) {
  const auto check = [words](const std::string& text) { return internal::CheckOneOf(text, words); };
  return app
      .add_option(internal::Spellings(name), *values, fmt::format("{}: {}", help, fmt::join(words, ", ")))
      ->check(check)
      ->type_name("WORD...");
}

CLI::Option* AddPriority(CLI::App& app, const std::string& name, uint32_t* value, const std::string& help) {
  const std::vector<std::pair<std::string, uint32_t>> words = {{"low", 0}, {"medium", 1}, {"high", 2},
                                                               {"0", 0},   {"1", 1},      {"2", 2}};
  return AddChoice(app, name, value, help, words)->type_name("low|medium|high");
}

}  // namespace vgpu::cli
