// SPDX-License-Identifier: Apache-2.0
// What the commands of vgpu-client share: options, exit codes, how results and errors are printed.
#ifndef VGPU_GUEST_CLI_H_
#define VGPU_GUEST_CLI_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/vector.h"
#include "base/cli/exit.h"
#include "base/cli/output.h"
#include "base/histogram.h"
#include "guest/client.h"
#include "guest/open.h"

namespace vgpu::guest {

inline constexpr char kProgram[] = "vgpu-client";

enum ExitCode : int {
  kExitOk = cli::kExitOk,
  kExitFailed = cli::kExitFailed,  // the request was refused, or an answer is wrong
  kExitUsage = cli::kExitUsage,
  kExitNobody = cli::kExitNobody,  // no device, no permission to use it, no mediator
  kExitTimeout = cli::kExitTimeout,
};

inline std::chrono::nanoseconds Nanoseconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

struct Options {
  bool json = false;
  PciOptions pci;
  HostOptions host;
  uint32_t ring = 0;
  double timeout_s = 5;

  std::chrono::nanoseconds timeout() const { return Nanoseconds(timeout_s); }
  TimePoint deadline() const { return Clock::now() + timeout(); }
};

// A 32-bit operand pair, as given.
struct AddArgs {
  int32_t a = 0;
  int32_t b = 0;
};

struct VaddArgs {
  uint64_t count = 0;
  uint32_t type = VGPU_TYPE_I32;
  bool in_place = false;
  std::optional<uint64_t> seed;
};

struct PingArgs {
  uint64_t count = 0;
  uint32_t depth = 1;
  uint32_t think_us = 0;
  double seconds = 0;  // stop after so long; 0: no matter how long
  std::optional<uint64_t> seed;
};

struct RegsArgs {
  std::optional<AddArgs> add;
  uint64_t count = 0;  // 0: dump the registers, unless `add` is given
  uint32_t poll_us = 50;
  double seconds = 0;  // stop after so long; 0: no matter how long
};

// Each runs one command, prints its result or its error, and returns an ExitCode.
int RunInfo(const Options& options);
int RunAdd(const Options& options, const AddArgs& args);
int RunVadd(const Options& options, const VaddArgs& args);
int RunPing(const Options& options, const PingArgs& args);
int RunBench(const Options& options);
int RunRegs(const Options& options, const RegsArgs& args);

// The device or the socket that the options name, with its warning, if any, on stderr.
Result<std::shared_ptr<Transport>> OpenTransport(const Options& options);
Result<std::unique_ptr<Client>> OpenClient(const Options& options);

// Prints the error (to stderr; with --json also as JSON to stdout) and returns its exit code.
int Report(const Options& options, const Error& error);
ExitCode ExitCodeOf(uint32_t code);
// Of a measurement, also one that was interrupted: did it see anything, and was all of that right?
ExitCode StatusOf(uint64_t measured, uint64_t wrong);

// How a measurement ended whose figures are printed all the same.
struct End {
  bool interrupted = false;
  std::optional<Error> error;  // after which nothing more was measured

  // ", interrupted", or nothing.
  std::string text() const;
  // Adds "interrupted" and, if there is one, "error".
  void AddTo(nlohmann::json* json) const;
};
// After the figures: prints the error, if any, to stderr. Returns its exit code, else StatusOf.
int Finish(const End& end, uint64_t measured, uint64_t wrong);

std::string LatencyText(const base::Histogram& latency_ns);

// The given seed, or a fresh one.
uint64_t SeedOf(const std::optional<uint64_t>& seed);

// A small fast generator (xorshift64*), so that the load does not measure the random numbers.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }

 private:
  uint64_t state_;
};

inline int32_t WrappingSum(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_CLI_H_
