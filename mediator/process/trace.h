// SPDX-License-Identifier: Apache-2.0
// The binary trace: the order of service, record by record, in a file that was
// allocated before. Off by default.
#ifndef VGPU_MEDIATOR_PROCESS_TRACE_H_
#define VGPU_MEDIATOR_PROCESS_TRACE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bus_error_guard.h"
#include "base/mapping.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "serve/iteration.h"

namespace vgpu::mediator {

using serve::TraceEvent;
const char* TraceEventName(TraceEvent event);

struct TraceRecord {
  int64_t time_ns;  // steady clock; kDoneByGpu: the GPU's
  uint32_t vm_id;
  uint32_t idx;  // of the request in its ring; kPiece, kDoneByGpu: low 32 bits of the first element
  uint8_t ring;
  uint8_t priority;
  TraceEvent event;
  uint8_t code;  // kAnswered only
  uint32_t pad;
};
static_assert(sizeof(TraceRecord) == 24);

// The first bytes of a trace file; records follow.
struct TraceHeader {
  static constexpr uint64_t kMagic = 0x3152545550475056ull;  // "VPGPUTR1"
  uint64_t magic;
  uint64_t records;
  uint64_t dropped;  // for which there was no room
  uint64_t pad;
};
static_assert(sizeof(TraceHeader) == 32);

// Written by one thread. When the file is full, further records are counted and dropped.
class Trace final : public serve::TraceSink {
 public:
  // Needs base::bus_error_guard::Install. Replaces a trace that no mediator writes any more; a file that is
  // something else is kept.
  static base::Result<std::unique_ptr<Trace>> Create(const std::string& path, uint64_t records_max);
  ~Trace() override;
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  void Add(const serve::RingName& name, TraceEvent event, uint32_t idx, uint8_t code,
           int64_t time_ns) override {
    Add({time_ns, name.vm_id, idx, name.ring, name.priority, event, code, 0});
  }
  void Add(const TraceRecord& record) {
    if (stopped_) return;
    if (records_written_ == records_max_) {
      ++header_->dropped;
    } else {
      records_[records_written_] = record;
      header_->records = ++records_written_;
    }
    // The file is somebody's, too: truncated, its pages are gone, and what was written now is nowhere.
    if (base::bus_error_guard::Hits(guard_) != 0) Stop();
  }

 private:
  Trace(std::string path, base::UniqueFd fd, base::Mapping mapping, uint64_t records_max);
  static base::Result<void> TakeOver(int fd, const std::string& path);
  void Stop();

  const std::string path_;
  const base::UniqueFd fd_;  // holds the file's lock
  const base::Mapping mapping_;
  const int guard_;
  const uint64_t records_max_;
  uint64_t records_written_ = 0;
  bool stopped_ = false;
  TraceHeader* const header_;
  TraceRecord* const records_;
};

// Reads a trace file, also while the mediator still writes it.
base::Result<std::vector<TraceRecord>> ReadTrace(const std::string& path, uint64_t* dropped);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_PROCESS_TRACE_H_
