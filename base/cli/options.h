// SPDX-License-Identifier: Apache-2.0
// Options and arguments as all programs take them: how they may be spelt, which values they take, and the
// sentence for a value that they do not take. `name` is "--vm-id" (then "--vm_id" is the same) or, for an
// argument, "A".
#ifndef VGPU_BASE_CLI_OPTIONS_H_
#define VGPU_BASE_CLI_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace vgpu::cli {

inline constexpr double kSecondsMax = 1e6;

namespace internal {

template <class T>
struct Plain {
  using Type = T;
};
template <class T>
struct Plain<std::optional<T>> {
  using Type = T;
};
template <class T>
struct Plain<std::vector<T>> {
  using Type = T;
};

// "--vm-id" -> "--vm-id,--vm_id": the first is shown, both are understood.
std::string Spellings(const std::string& name);
std::string IntegerText(uint64_t value);
std::string IntegerText(int64_t value);

// A decimal number (of either kind) and nothing else: CLI11's own conversion takes "" for 0 and "010" for 8,
// and wraps beyond 64 bits.
template <class T>
bool ParseNumber(const std::string& text, T* value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stop == end;
}

// Leaves the text as CLI11 reads it.
template <class T>
std::string CheckInteger(std::string& text, T min, T max) {
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  T value;
  if (!ParseNumber(text, &value) || value < min || value > max) {
    return "'" + text + "' is not a decimal integer from " + IntegerText(Wide{min}) + " to " +
           IntegerText(Wide{max});
  }
  text = std::to_string(value);
  return "";
}

std::string CheckOneOf(const std::string& text, const std::vector<std::string>& words);

}  // namespace internal

CLI::Option* AddFlag(CLI::App& app, const std::string& name, bool* value, const std::string& help);

CLI::Option* AddText(CLI::App& app, const std::string& name, std::string* value, const std::string& help,
                     const std::string& type = "TEXT");

// A file that exists and may be read by this user, and is no folder.
CLI::Option* AddReadableFile(CLI::App& app, const std::string& name, std::string* value,
                             const std::string& help);

// T is an integer type, or an optional or a vector of one.
template <class T, class Number = typename internal::Plain<T>::Type>
CLI::Option* AddInteger(CLI::App& app, const std::string& name, T* value, const std::string& help,
                        std::type_identity_t<Number> min = std::numeric_limits<Number>::min(),
                        std::type_identity_t<Number> max = std::numeric_limits<Number>::max()) {
  const auto check = [min, max](std::string& text) { return internal::CheckInteger<Number>(text, min, max); };
  return app.add_option(internal::Spellings(name), *value, help)
      ->transform(CLI::Validator(check, ""))
      ->type_name("N");
}

// A finite number from 0 to kSecondsMax.
CLI::Option* AddSeconds(CLI::App& app, const std::string& name, double* value, const std::string& help);

// A number of bytes, with or without K, M, G or T (powers of 1024).
CLI::Option* AddBytes(CLI::App& app, const std::string& name, uint64_t* value, const std::string& help);

// One of several words, each with its value.
template <class T>
CLI::Option* AddChoice(CLI::App& app, const std::string& name, T* value, const std::string& help,
                       const std::vector<std::pair<std::string, T>>& choices) {
  std::vector<std::string> words;
  for (const auto& [word, meaning] : choices) words.push_back(word);
  const auto set = [value, choices](const std::string& given) {
    for (const auto& [word, meaning] : choices) {
      if (word == given) *value = meaning;
    }
  };
  const auto check = [words](const std::string& text) { return internal::CheckOneOf(text, words); };
  return app.add_option_function<std::string>(internal::Spellings(name), set, help)
      ->check(check)
      ->type_name(CLI::detail::join(words, "|"));
}

// The same, kept as the word itself.
CLI::Option* AddWord(CLI::App& app, const std::string& name, std::string* value, const std::string& help,
                     const std::vector<std::string>& words);

// One or more of the words.
CLI::Option* AddWords(CLI::App& app, const std::string& name, std::vector<std::string>* values,
                      const std::string& help, const std::vector<std::string>& words);

// low, medium or high, or their numbers 0, 1, 2.
CLI::Option* AddPriority(CLI::App& app, const std::string& name, uint32_t* value, const std::string& help);

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_OPTIONS_H_
