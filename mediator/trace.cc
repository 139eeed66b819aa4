// SPDX-License-Identifier: Apache-2.0
#include "mediator/trace.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

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

ring::Result<std::unique_ptr<Trace>> Trace::Create(const std::string& path, uint64_t records_max) {
  const ring::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const uint64_t bytes = sizeof(Header) + records_max * sizeof(TraceRecord);
  if (!fd) return tl::make_unexpected(fmt::format("cannot create the trace {}: {}", path, std::strerror(errno)));
  if (const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    return tl::make_unexpected(
        fmt::format("no room for {} bytes of trace in {}: {}", bytes, path, std::strerror(error)));
  }
  ring::Result<ring::Mapping> mapping = ring::MapShared(fd.get(), bytes);
  if (!mapping) return tl::make_unexpected(std::move(mapping.error()));
  return std::unique_ptr<Trace>(new Trace(std::move(*mapping), records_max));
}

Trace::Trace(ring::Mapping mapping, uint64_t records_max)
    : mapping_(std::move(mapping)),
      records_max_(records_max),
      header_(reinterpret_cast<Header*>(mapping_.data())),
      records_(reinterpret_cast<TraceRecord*>(mapping_.data() + sizeof(Header))) {
  *header_ = {kMagic, 0, 0, 0};
}

ring::Result<std::vector<TraceRecord>> ReadTrace(const std::string& path, uint64_t* dropped) {
  std::ifstream file(path, std::ios::binary);
  Trace::Header header{};
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header) || header.magic != Trace::kMagic) {
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
