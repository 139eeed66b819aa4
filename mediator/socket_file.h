// SPDX-License-Identifier: Apache-2.0
// The files of the control socket: its folder, the lock beside it, and the socket itself. Somebody else may remove or replace
// each of them at any time, so they are known by their inode, not by their name.
#ifndef VGPU_MEDIATOR_SOCKET_FILE_H_
#define VGPU_MEDIATOR_SOCKET_FILE_H_

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"


namespace vgpu::mediator {

// A file that goes with this object, if the name still means the same file then.
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

// Whoever holds this serves the socket, and owns what lies beside it; the lock goes with the process, however that ends, its
// file with an orderly end. Makes the socket's folder (mode 0700), and room for the socket: one that nobody listens on any more
// is removed; one of a living program, or a file of another kind, is an error, as is that another mediator has it (with its
// pid).
base::Result<SocketLock> LockSocket(const std::string& path);

// Makes the socket and listens. Needs LockSocket of this path.
base::Result<Listener> ListenOn(const std::string& path);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_SOCKET_FILE_H_
