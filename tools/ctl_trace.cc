// SPDX-License-Identifier: Apache-2.0
// vgpuctl trace: the order of service, record by record.
#include <nlohmann/json.hpp>

#include "base/cli/output.h"
#include "mediator/process/trace.h"
#include "tools/ctl.h"

namespace vgpu::ctl {
namespace {

using mediator::TraceEvent;
using mediator::TraceEventName;
using mediator::TraceRecord;

const char* PriorityName(uint8_t priority) {
  static constexpr const char* kNames[] = {"low", "medium", "high"};
  return priority < 3 ? kNames[priority] : "unknown";
}

bool NamesElement(TraceEvent event) { return event == TraceEvent::kPiece || event == TraceEvent::kDoneByGpu; }

void PrintRecord(const TraceRecord& record) {
  cli::Print("{:>16} ns  vm {} {:<6} ring {} {:<8} {} {}\n", record.time_ns, record.vm_id,
             PriorityName(record.priority), record.ring, TraceEventName(record.event),
             NamesElement(record.event) ? "from" : "index", record.idx);
}

// One line of JSON for each record.
void PrintRecordJson(const TraceRecord& record) {
  cli::PrintJson({{"time_ns", record.time_ns},
                  {"vm_id", record.vm_id},
                  {"priority", PriorityName(record.priority)},
                  {"ring", record.ring},
                  {"event", TraceEventName(record.event)},
                  {NamesElement(record.event) ? "from" : "index", record.idx}});
}

void PrintDropped(uint64_t dropped, bool as_json) {
  if (as_json) return cli::PrintJson({{"dropped", dropped}});
  cli::Print("the trace was full: {} more records were dropped\n", dropped);
}

}  // namespace

Result<void> PrintTrace(const Arguments& arguments) {
  uint64_t dropped = 0;
  const auto records = mediator::ReadTrace(arguments.trace, &dropped);
  if (!records) return guest::Fail(VGPU_ERR_SYSTEM, records.error());
  for (const TraceRecord& record : *records) {
    if (cli::OutputLost()) return {};  // it will be said
    arguments.json ? PrintRecordJson(record) : PrintRecord(record);
  }
  if (dropped != 0) PrintDropped(dropped, arguments.json);
  return {};
}

}  // namespace vgpu::ctl
