// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/ganesha.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/unique_fd.h"

namespace vgpu::bench::nfs {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kStartMax{20};
constexpr std::chrono::milliseconds kCheckEvery{20};
constexpr const char* kServes = "NFS SERVER INITIALIZED";
constexpr const char* kNoExport = "Could not create export";

Result<uint16_t> FreePort() {
  const base::UniqueFd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (bind(probe.get(), any, bytes) != 0 || getsockname(probe.get(), any, &bytes) != 0) {
    return tl::make_unexpected("there is no free port on 127.0.0.1");
  }
  return ntohs(address.sin_port);
}

// What the server does for every file. Fails without root, and in the user namespace of
// a container or a sandbox.
bool OpensByHandle(const std::string& path) {
  alignas(file_handle) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> memory{};
  auto* handle = reinterpret_cast<file_handle*>(memory.data());
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id;
  const base::UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (name_to_handle_at(folder.get(), "", handle, &mount_id, AT_EMPTY_PATH) != 0) return false;
  return static_cast<bool>(base::UniqueFd(open_by_handle_at(folder.get(), handle, O_RDONLY | O_CLOEXEC)));
}

}  // namespace

// Attr_Expiration_Time: the host writes into the folder beside the server,
// which must not answer from its own cache.
std::string Ganesha::Config(const std::string& folder, const std::vector<Export>& exports) const {
  std::string text = fmt::format(
      "NFS_CORE_PARAM {{ Protocols = 4; Bind_addr = 127.0.0.1; NFS_Port = {}; Enable_UDP = false; Enable_NLM "
      "= false;\n"
      "  Enable_RQUOTA = false; Plugins_Dir = {}/usr/lib/x86_64-linux-gnu/ganesha; }}\n"
      "NFSV4 {{ Graceless = true; Delegations = false; Only_Numeric_Owners = true; RecoveryRoot = {}; }}\n"
      "NFS_KRB5 {{ Active_krb5 = false; CCacheDir = {}; }}\n",
      port_, folder, own_ / "recovery", own_ / "krb5");
  for (size_t i = 0; i < exports.size(); ++i) {
    text += fmt::format(
        "EXPORT {{ Export_Id = {}; Path = {}; Pseudo = /{}; Access_Type = RW; Squash = No_Root_Squash;\n"
        "  SecType = sys; Transports = TCP; Attr_Expiration_Time = 0; FSAL {{ Name = VFS; }} }}\n",
        i + 1, exports[i].path, exports[i].name);
  }
  return text;
}

Result<std::unique_ptr<Ganesha>> Ganesha::Start(const std::string& folder,
                                                const std::vector<Export>& exports) {
  const std::string program = folder + "/usr/bin/ganesha.nfsd";
  if (access(program.c_str(), X_OK) != 0) {
    return tl::make_unexpected(fmt::format(
        "there is no NFS server at {}: unset VGPU_GANESHA, or run tools/lib/ganesha.sh", program));
  }
  if (access("/etc/mtab", R_OK) != 0) {
    return tl::make_unexpected(
        "nfs-ganesha looks for mounted file systems in /etc/mtab: ln -s ../proc/self/mounts /etc/mtab");
  }
  for (const Export& each : exports) {
    if (OpensByHandle(each.path)) continue;
    return tl::make_unexpected(
        "nfs-ganesha must open files by their handles: run this as root, outside of containers");
  }
  const auto port = FreePort();
  if (!port) return tl::make_unexpected(port.error());
  std::unique_ptr<Ganesha> server(new Ganesha);
  server->port_ = *port;
  const std::string config = server->own_ / "ganesha.conf";
  const std::string log = server->own_ / "log";
  std::ofstream(config) << server->Config(folder, exports);
  SpawnOptions spawn;
  spawn.cpu = kServers;
  spawn.err = log;
  spawn.environment = {"LD_LIBRARY_PATH=" + folder + "/usr/lib/ganesha"};
  auto child = Spawn({program, "-F", "-f", config, "-L", log, "-p", server->own_ / "pid"}, spawn);
  if (!child) return tl::make_unexpected(child.error());
  server->child_ = std::move(*child);
  const auto deadline = steady_clock::now() + kStartMax;
  while (ReadFile(log).find(kServes) == std::string::npos) {
    if (!server->child_.running() || steady_clock::now() > deadline) {
      return tl::make_unexpected("nfs-ganesha does not start; it said:\n" + ReadFile(log));
    }
    std::this_thread::sleep_for(kCheckEvery);
  }
  // It serves without an export that it does not like.
  if (const std::string said = ReadFile(log); said.find(kNoExport) != std::string::npos) {
    return tl::make_unexpected("nfs-ganesha does not export the folders; it said:\n" + said);
  }
  return server;
}

Result<std::string> GaneshaFolder() {
  if (const char* given = std::getenv("VGPU_GANESHA")) return std::string(given);
  const auto script = Runfile("tools/lib/ganesha.sh");
  if (!script) return tl::make_unexpected(script.error());
  const TempDir said;
  SpawnOptions spawn;
  spawn.out = said / "out";
  spawn.err = said / "err";
  auto child = Spawn({*script}, spawn);
  if (!child) return tl::make_unexpected(child.error());
  const int status = child->Wait();
  std::string text = ReadFile(status == 0 ? spawn.out : spawn.err);
  while (text.ends_with('\n')) text.pop_back();
  if (status == 0) return text;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return tl::make_unexpected("no NFS server: " + text);
}

}  // namespace vgpu::bench::nfs
