// SPDX-License-Identifier: Apache-2.0
// What a program prints to its standard output, so that what is lost is known: a full disk, a closed
// descriptor, a reader that has gone and a limit on file sizes become a sentence and a status that is not 0.
#ifndef VGPU_BASE_CLI_OUTPUT_H_
#define VGPU_BASE_CLI_OUTPUT_H_

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace vgpu::cli {

// Opens what is closed of descriptors 0 to 2, such that using it fails: else the next file or socket would
// get that number, and the output would go there. To be called before anything is opened.
void ReserveStandardDescriptors();

// SIGPIPE and SIGXFSZ: a write that fails says so itself. For programs that start no others.
void IgnoreOutputSignals();

// A write that fails is remembered, not reported.
void PrintText(std::string_view text);

template <class... Args>
void Print(fmt::format_string<Args...> format, Args&&... args) {
  PrintText(fmt::format(format, std::forward<Args>(args)...));
}

// One document and a newline. Text that is not UTF-8 gets replacement characters.
void PrintJson(const nlohmann::json& json, int indent = -1);
void PrintOrderedJson(const nlohmann::ordered_json& json);

// "PROGRAM: TEXT" on stderr. If that is lost, there is nobody to tell.
void Say(const std::string& program, std::string_view text);

// Has any of it been lost already? Then the rest need not be made.
bool OutputLost();

// Closes the standard output. Returns `status`; if something was lost, says so on stderr, and returns
// kExitFailed for 0. Nothing may be printed afterwards.
int FinishOutput(const std::string& program, int status);

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_OUTPUT_H_
