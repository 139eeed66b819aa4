// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/cell_json.h"

namespace vgpu::bench::interference {
namespace {

nlohmann::json ToJson(const Summary& summary) {
  return {{"answers", summary.answers},
          {"blind", summary.blind},
          {"late", summary.late},
          {"wrong", summary.wrong},
          {"p50_us", summary.p50_us},
          {"p99_us", summary.p99_us},
          {"p999_us", summary.p999_us},
          {"longest_us", summary.longest_us},
          {"gap_us", summary.gap_us},
          {"p99_by_window", summary.p99_by_interval},
          {"late_by_window", summary.late_by_interval},
          {"stalls_by_window", summary.stalls_by_interval}};
}

nlohmann::json ToJson(const Noticed& noticed, bool with_nops) {
  const LateExcess late = ExcessOf(noticed.baseline, noticed.beside);
  nlohmann::json json = {{"alone", ToJson(noticed.baseline)},
                         {"beside", ToJson(noticed.beside)},
                         {"lost", noticed.lost},
                         {"late_excess", late.excess},
                         {"late_three_sd", late.three_sd},
                         {"late_burst_three_sd", late.burst_three_sd}};
  if (with_nops) json["nops"] = ToJson(noticed.nops);
  return json;
}

}  // namespace

nlohmann::json ToJson(const Cell& cell) {
  const Case& attack = *cell.attack;
  const bool with_nops = attack.kind == Kind::kGuest;
  nlohmann::json json = {{"name", attack.name},
                         {"title", attack.title},
                         {"kind", KindName(attack.kind)},
                         {"commands", attack.commands}};
  if (with_nops) json["priority"] = attack.priority;
  if (!cell.skipped.empty()) json["skipped"] = cell.skipped;
  if (!cell.broken.empty()) json["broken"] = cell.broken;
  for (const Noticed& victim : cell.victims) json["innocents"][victim.name] = ToJson(victim, with_nops);
  json["errors"] = cell.errors();
  if (attack.kind == Kind::kMemory) {  // one VM an interval
    for (const Noticed& victim : cell.victims)
      json["late_for_each_vm"][victim.name] = victim.beside.late_by_interval;
  }
  json["ring_cpu_alone"] = cell.ring_cpu_baseline;
  json["ring_cpu_beside"] = cell.ring_cpu_beside;
  json["held"] = nlohmann::json::array();
  for (const Held& held : cell.held) {
    json["held"].push_back({{"attackers_memory", held.descriptors},
                            {"mappings", held.mappings},
                            {"descriptors", held.all_descriptors}});
  }
  json["log_bytes"] = cell.log_bytes;
  json["ended_early"] = cell.ended_early;
  json["threads"] = cell.threads;
  json["strays"] = cell.strays;
  json["says"] = cell.says;
  json["commit"] = cell.origin.commit;
  json["mediator_id"] = cell.origin.mediator_id;
  json["machine"] = cell.origin.machine;
  return json;
}

namespace {

Summary SummaryFrom(const nlohmann::json& json) {
  Summary summary;
  json.at("answers").get_to(summary.answers);
  json.at("blind").get_to(summary.blind);
  json.at("late").get_to(summary.late);
  json.at("wrong").get_to(summary.wrong);
  json.at("p50_us").get_to(summary.p50_us);
  json.at("p99_us").get_to(summary.p99_us);
  json.at("p999_us").get_to(summary.p999_us);
  json.at("longest_us").get_to(summary.longest_us);
  json.at("gap_us").get_to(summary.gap_us);
  json.at("p99_by_window").get_to(summary.p99_by_interval);
  json.at("late_by_window").get_to(summary.late_by_interval);
  json.at("stalls_by_window").get_to(summary.stalls_by_interval);
  return summary;
}

Noticed NoticedFrom(const std::string& name, const nlohmann::json& json) {
  Noticed noticed;
  noticed.name = name;
  noticed.baseline = SummaryFrom(json.at("alone"));
  noticed.beside = SummaryFrom(json.at("beside"));
  if (json.contains("nops")) noticed.nops = SummaryFrom(json.at("nops"));
  json.at("lost").get_to(noticed.lost);
  return noticed;
}

}  // namespace

Cell CellFrom(const nlohmann::json& json, const Case& attack) {
  Cell cell;
  cell.attack = &attack;
  cell.skipped = json.value("skipped", "");
  cell.broken = json.value("broken", "");
  for (const char* name : kVictims) {
    if (json.contains("innocents") && json["innocents"].contains(name))
      cell.victims.push_back(NoticedFrom(name, json["innocents"][name]));
  }
  json.at("ring_cpu_alone").get_to(cell.ring_cpu_baseline);
  json.at("ring_cpu_beside").get_to(cell.ring_cpu_beside);
  for (const nlohmann::json& held : json.at("held")) {
    cell.held.push_back({held.at("attackers_memory").get<uint64_t>(), held.at("mappings").get<uint64_t>(),
                         held.at("descriptors").get<uint64_t>()});
  }
  json.at("log_bytes").get_to(cell.log_bytes);
  json.at("ended_early").get_to(cell.ended_early);
  cell.threads = json.at("threads");
  json.at("strays").get_to(cell.strays);
  json.at("says").get_to(cell.says);
  cell.origin.commit = json.value("commit", "");
  cell.origin.mediator_id = json.value("mediator_id", "");
  cell.origin.machine = json.value("machine", nlohmann::json());
  return cell;
}

}  // namespace vgpu::bench::interference
