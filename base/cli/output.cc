// SPDX-License-Identifier: Apache-2.0
#include "base/cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/cli/exit.h"
#include "base/json_text.h"

namespace vgpu::cli {
namespace {

int lost_errno = 0;  // of the first write that failed

// What to do about it.
const char* Remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "; make room and run it again";
    case EFBIG: return "; raise the limit on file sizes (ulimit -f)";
    case EBADF: return "; the standard output is closed or cannot be written to";
    case EPIPE: return "; its reader has gone";
    default: return "";
  }
}

template <class Json>
void PrintDumped(const Json& json, int indent) {
  PrintText(base::JsonTextOf(json, indent));
  PrintText("\n");
}

}  // namespace

void ReserveStandardDescriptors() {
  for (const int fd : {0, 1, 2}) {
    // Lower numbers are taken: open() gives this one. Opened the wrong way round, so that its use fails.
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
  }
}

void IgnoreOutputSignals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

void PrintText(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && lost_errno == 0) {
    lost_errno = errno != 0 ? errno : EIO;
  }
}

void PrintJson(const nlohmann::json& json, int indent) { PrintDumped(json, indent); }
void PrintOrderedJson(const nlohmann::ordered_json& json) { PrintDumped(json, -1); }

void Say(const std::string& program, std::string_view text) {
  std::fputs(fmt::format("{}: {}\n", program, text).c_str(), stderr);  // fmt's own print throws
}

bool OutputLost() { return lost_errno != 0; }

int FinishOutput(const std::string& program, int status) {
  errno = 0;
  if (std::fclose(stdout) != 0 && lost_errno == 0) lost_errno = errno != 0 ? errno : EIO;
  if (lost_errno == 0) return status;
  Say(program, fmt::format("the output is lost: {}{}", std::strerror(lost_errno), Remedy(lost_errno)));
  return status == kExitOk ? kExitFailed : status;
}

}  // namespace vgpu::cli
