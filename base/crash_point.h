// SPDX-License-Identifier: Apache-2.0
// Named places where a test kills the daemon: before and after every change of state that a restart must
// survive. Compiled in with VGPU_CRASH_POINTS only (//mediator:mediator_crash). The environment says which
// and when: VGPU_CRASH_AT=NAME or NAME:N dies by SIGKILL when NAME is reached for the N-th time.
#ifndef VGPU_BASE_CRASH_POINT_H_
#define VGPU_BASE_CRASH_POINT_H_

namespace vgpu::base {

// Where a daemon is simulated, its process does not die: called at each place instead, and may throw. Null:
// as above.
using CrashPointHandler = void (*)(const char* name);

#ifdef VGPU_CRASH_POINTS
void HitCrashPoint(const char* name);
// One thread's, before there are others.
void SetCrashPointHandler(CrashPointHandler handler);
#else
inline void SetCrashPointHandler(CrashPointHandler) {}  // there are none
#endif

}  // namespace vgpu::base

#ifdef VGPU_CRASH_POINTS
#define VGPU_CRASH_POINT(name) ::vgpu::base::HitCrashPoint(name)
#else
#define VGPU_CRASH_POINT(name) static_cast<void>(0)
#endif

#endif  // VGPU_BASE_CRASH_POINT_H_
