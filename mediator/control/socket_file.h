// SPDX-License-Identifier: Apache-2.0
// The files of the control socket: its folder, the lock beside it, and the socket itself. Somebody else may
// remove or replace each of them at any time, so the mediator knows them by their inode, not by their name.
#ifndef VGPU_MEDIATOR_CONTROL_SOCKET_FILE_H_
#define VGPU_MEDIATOR_CONTROL_SOCKET_FILE_H_

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::mediator {

// A file that is removed with this object, if the name still means the same file then.
class OwnFile {
 public:
  // What `path` names now.
  explicit OwnFile(std::string path);
  OwnFile(OwnFile&& other) noexcept;
  OwnFile& operator=(OwnFile&&) = delete;
  ~OwnFile();

 private:
  std::string path_;  // empty: nothing to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// The order of members matters: the file goes while the descriptor is still open.
struct SocketLock {
  base::UniqueFd fd;
  OwnFile file;
};
struct Listener {
  base::UniqueFd fd;
  OwnFile file;
};

// Whoever holds this lock serves the socket, and owns what lies beside it. The lock ends with the process,
// however that ends; its file goes with an orderly end. Makes the socket's folder (mode 0700). A socket on
// which nobody listens any more is removed. It is an error if a living program has the socket, if a file of
// another kind is there, or if another mediator has the lock (the error names its pid).
base::Result<SocketLock> LockSocket(const std::string& path);

// Makes the socket and listens. Needs LockSocket of this path.
base::Result<Listener> ListenOn(const std::string& path);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_SOCKET_FILE_H_
