// SPDX-License-Identifier: Apache-2.0
// What a mutant leaves out of the shipped protocol. Every mutant must be caught;
// the protocol whole must pass.
#ifndef VGPU_TESTS_MODEL_MUTATION_H_
#define VGPU_TESTS_MODEL_MUTATION_H_

#include <cstdint>
#include <optional>

#include "ring/memory.h"

namespace vgpu::model {

// Which word of a ring; arguments are payload.
enum class Kind : uint8_t { kEpochReq, kCallEvent, kEpochAck, kKickEvent, kSubmit, kDone, kArg };

// Rules that a guest or a mediator keeps beside the templates (docs/spec/ring.md).
enum class Rule : uint8_t {
  kGuestChecksAgain,         // sleep only if ArmCall says so
  kMediatorChecksAgain,      // sleep only if ArmKick says so
  kAckClearsSlots,           // AnswerEpoch zeroes the slots
  kAckAfterEngineStopped,    // nothing is in flight when an epoch is answered
  kRestartCalls,             // a restarted mediator calls the guest once, whatever it finds
  kRestartSkipsAnswered,     // a restarted mediator does not run what has its answer
  kRestartChecksBehindCons,  // a restarted mediator runs what was taken but not answered
  kJournalBeforeExecution,   // `cons` is journalled before what was taken is run
  kJournalBeforeAck,         // the epoch is journalled before it is answered
  kRestartFinishesAck,       // a restarted mediator answers an epoch that it had journalled but not answered
};

// At most one thing is left out.
struct Mutation {
  const char* name;
  std::optional<ring::Fence> no_fence = {};
  std::optional<Kind> relaxed_store = {};  // relaxed where the templates say release
  std::optional<Kind> relaxed_load = {};   // relaxed where the templates say acquire
  std::optional<Rule> broken_rule = {};
};

constexpr Mutation kWhole = {.name = "Whole"};
constexpr Mutation NoFence(const char* name, ring::Fence fence) { return {.name = name, .no_fence = fence}; }
constexpr Mutation RelaxedStore(const char* name, Kind kind) { return {.name = name, .relaxed_store = kind}; }
constexpr Mutation RelaxedLoad(const char* name, Kind kind) { return {.name = name, .relaxed_load = kind}; }
constexpr Mutation Broken(const char* name, Rule rule) { return {.name = name, .broken_rule = rule}; }

// The one under test. Set between searches, constant during one.
inline Mutation g_mutation = kWhole;

inline bool Keeps(Rule rule) { return g_mutation.broken_rule != rule; }

}  // namespace vgpu::model

#endif  // VGPU_TESTS_MODEL_MUTATION_H_
