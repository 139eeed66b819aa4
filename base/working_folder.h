// SPDX-License-Identifier: Apache-2.0
// Where a path on the command line is meant: in the folder in which the user typed it.
#ifndef VGPU_BASE_WORKING_FOLDER_H_
#define VGPU_BASE_WORKING_FOLDER_H_

namespace vgpu::base {

// `bazel run` starts a program in a folder of its own and names the user's in BUILD_WORKING_DIRECTORY: goes
// there. Does nothing where that is not set. False, with a sentence on standard error, if that folder cannot
// be entered. To be called first in main: it changes the environment, so that the programs that this one
// starts stay where they are.
[[nodiscard]] bool EnterUsersFolder();

}  // namespace vgpu::base

#endif  // VGPU_BASE_WORKING_FOLDER_H_
