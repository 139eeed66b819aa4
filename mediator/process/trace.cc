// SPDX-License-Identifier: Apache-2.0
#include "mediator/process/trace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::mediator {

const char* TraceEventName(TraceEvent event) {
  switch (event) {
    case TraceEvent::kTaken: return "taken";
    case TraceEvent::kStarted: return "started";
    case TraceEvent::kPiece: return "piece";
    case TraceEvent::kAnswered: return "answered";
    case TraceEvent::kDoneByGpu: return "by GPU";
  }
  return "unknown";
}

// Nothing is written to it before it is known to be ours: a trace, or empty, and of no mediator that runs.
base::Result<void> Trace::TakeOver(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0)
    return tl::make_unexpected(fmt::format("cannot look at {}: {}", path, std::strerror(errno)));
  uint64_t magic = 0;
  const bool is_trace = pread(fd, &magic, sizeof magic, 0) == sizeof magic && magic == TraceHeader::kMagic;
  if (!S_ISREG(info.st_mode) || (info.st_size != 0 && !is_trace)) {
    return tl::make_unexpected(fmt::format("{} is there and is no trace: choose another file for it", path));
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return tl::make_unexpected(
        fmt::format("another mediator writes the trace {}: choose another file for it", path));
  }
  // Never without its first words from here on, whatever comes.
  const TraceHeader header{TraceHeader::kMagic, 0, 0, 0};
  if (ftruncate(fd, 0) == 0 && pwrite(fd, &header, sizeof header, 0) == sizeof header) return {};
  return tl::make_unexpected(fmt::format("cannot begin the trace {}: {}", path, std::strerror(errno)));
}

base::Result<std::unique_ptr<Trace>> Trace::Create(const std::string& path, uint64_t records_max) {
  base::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  const uint64_t bytes = sizeof(TraceHeader) + records_max * sizeof(TraceRecord);
  if (!fd) {
    const char* why = std::strerror(errno);
    return tl::make_unexpected(
        fmt::format("cannot create the trace {}: {} (choose another file for it)", path, why));
  }
  if (const auto ours = TakeOver(fd.get(), path); !ours) return tl::make_unexpected(ours.error());
  if (const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    return tl::make_unexpected(
        fmt::format("no room for {} bytes of trace in {}: {}", bytes, path, std::strerror(error)));
  }
  base::Result<base::Mapping> mapping = base::MapShared(fd.get(), bytes);
  if (!mapping) return tl::make_unexpected(std::move(mapping.error()));
  return std::unique_ptr<Trace>(new Trace(path, std::move(fd), std::move(*mapping), records_max));
}

Trace::Trace(std::string path, base::UniqueFd fd, base::Mapping mapping, uint64_t records_max)
    : path_(std::move(path)),
      fd_(std::move(fd)),
      mapping_(std::move(mapping)),
      guard_(base::bus_error_guard::Guard(mapping_.data(), mapping_.bytes())),
      records_max_(records_max),
      header_(reinterpret_cast<TraceHeader*>(mapping_.data())),
      records_(reinterpret_cast<TraceRecord*>(mapping_.data() + sizeof(TraceHeader))) {
  *header_ = {TraceHeader::kMagic, 0, 0, 0};
}

Trace::~Trace() { base::bus_error_guard::Forget(guard_); }

void Trace::Stop() {
  stopped_ = true;
  spdlog::error(
      "the trace {} was truncated after {} records, or its disk is full: nothing more is written to it",
      path_, records_written_);
}

base::Result<std::vector<TraceRecord>> ReadTrace(const std::string& path, uint64_t* dropped) {
  std::ifstream file(path, std::ios::binary);
  TraceHeader header{};
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header) || header.magic != TraceHeader::kMagic) {
    return tl::make_unexpected(fmt::format("{} is not a trace of this mediator", path));
  }
  *dropped = header.dropped;
  std::vector<TraceRecord> records;
  TraceRecord record;
  while (records.size() < header.records && file.read(reinterpret_cast<char*>(&record), sizeof record)) {
    records.push_back(record);
  }
  if (records.size() < header.records) return tl::make_unexpected(fmt::format("{} is truncated", path));
  return records;
}

}  // namespace vgpu::mediator
