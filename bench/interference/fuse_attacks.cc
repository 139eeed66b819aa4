// SPDX-License-Identifier: Apache-2.0
// A file whose server does not answer for --seconds: whoever closes it (flush), or asks for its attributes
// (getattr), waits. Root mounts it directly, in a mount namespace of its own that goes with this process; a
// user could with fusermount3.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <thread>

#include "bench/interference/attack.h"
#include "tests/fuse/one_file.h"

namespace vgpu::bench::interference {
namespace {

// Serves in a process of its own: one that died with an unanswered request to itself would never end.
class FuseServer {
 public:
  FuseServer(const std::string& folder, uint32_t slow_opcode, int64_t slow_ns)
      : slow_opcode_(slow_opcode), slow_ns_(slow_ns), device_(open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    if (!device_) Die("/dev/fuse");
    mkdir(folder.c_str(), 0755);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      Die("a mount namespace");
    }
    const std::string options = test::OneFileMountOptions(device_.get());
    if (mount("attack", folder.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) Die("mount");
    ShareSlow();
    const pid_t server = fork();
    if (server < 0) Die("fork");
    if (server == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Serve();
    }
    device_.reset();  // with the server the last one goes, and whoever still waits is let go
  }
  void BeSlow(bool slow) { *slow_ = slow; }

 private:
  void ShareSlow() {
    void* shared = mmap(nullptr, sizeof *slow_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) Die("map a page");
    slow_ = new (shared) std::atomic<bool>(false);
  }
  [[noreturn]] void Serve() {
    std::vector<char> buffer(1 << 20);
    for (;;) {
      const ssize_t got = read(device_.get(), buffer.data(), buffer.size());
      if (got <= 0 && errno != EINTR && errno != EAGAIN) _exit(0);
      if (got <= 0) continue;
      fuse_in_header request{};
      std::memcpy(&request, buffer.data(), sizeof request);
      if (!*slow_ || request.opcode != slow_opcode_) {
        test::AnswerOneFile(device_.get(), request);
        continue;
      }
      std::thread([this, request] {
        SleepNs(slow_ns_);
        test::AnswerOneFile(device_.get(), request);
      }).detach();
    }
  }

  const uint32_t slow_opcode_;
  const int64_t slow_ns_;
  UniqueFd device_;
  std::atomic<bool>* slow_ = nullptr;  // shared with the server
};

struct SlowFile {
  std::unique_ptr<FuseServer> server;
  int fd;
};

SlowFile MakeSlowFile(const Args& args, uint32_t slow_opcode) {
  const std::string folder = std::string(args.Text("--folder", ".")) + "/fuse";
  SlowFile file{
      std::make_unique<FuseServer>(folder, slow_opcode, args.Number("--seconds", 2) * 1'000'000'000), -1};
  file.fd = open((folder + "/file").c_str(), O_RDWR | O_CLOEXEC);
  if (file.fd < 0) Die("open the slow file");
  file.server->BeSlow(true);
  return file;
}

// As a descriptor that the mediator must throw away.
void SlowClose(const Args& args) {
  const SlowFile file = MakeSlowFile(args, FUSE_FLUSH);
  Thrower thrower(args);
  Ready();
  long thrown = 0;
  for (; !g_stop; SleepNs(200'000'000)) thrown += thrower.Throw(file.fd);
  Say("%ld thrown", thrown);
  file.server->BeSlow(false);  // this process closes it, too
}

// As the region of an attach; does an honest VM get in meanwhile?
void SlowLook(const Args& args) {
  const SlowFile file = MakeSlowFile(args, FUSE_GETATTR);
  Vm hostile(args.Vm(1, 64, test::kOneFileBytes));
  VmOptions honest_options = args.Vm(1, 64, test::kOneFileBytes);
  ++honest_options.vm_id;
  Vm honest(honest_options);
  Ready();
  int64_t longest_ns = 0;
  long granted = 0, refused = 0;
  for (; !g_stop; SleepNs(50'000'000)) {
    if (!hostile.connection().Connect(args.socket())) continue;
    hostile.connection().Hello();
    const VmOptions& o = hostile.options();
    const vgpu_msg_attach attach{o.vm_id, 'A', o.priority, o.rings, o.entries, 0, o.bytes};
    hostile.connection().Send(VGPU_MSG_ATTACH, &attach, sizeof attach,
                              {hostile.private_fd(), hostile.kick(1), hostile.call(1), file.fd});
    const vgpu_msg_ring ring{0, 0};
    hostile.connection().Send(VGPU_MSG_RING, &ring, sizeof ring, {hostile.kick(0), hostile.call(0)});
    hostile.connection().Send(VGPU_MSG_START);
    const int64_t begin_ns = NowNs();
    const bool served = honest.Attach(args.socket(), 30000);
    if (!served && g_stop) break;
    (served ? granted : refused)++;
    longest_ns = std::max(longest_ns, NowNs() - begin_ns);
    honest.connection().Close();
    hostile.connection().Close();
  }
  Say("honest attaches meanwhile: %ld granted, %ld refused, longest %.1f ms", granted, refused,
      static_cast<double>(longest_ns) / 1e6);
  file.server->BeSlow(false);
}

constexpr Attack kAttacks[] = {{"slow-close", SlowClose}, {"slow-look", SlowLook}};

}  // namespace

std::span<const Attack> FuseAttacks() { return kAttacks; }

}  // namespace vgpu::bench::interference
