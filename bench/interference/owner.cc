// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/owner.h"

#include <linux/falloc.h>
#include <linux/memfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "api/vector.h"
#include "ring/region.h"

namespace vgpu::bench::interference {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kCheckEveryNs = 20'000;

void AllDescriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

std::atomic<bool> g_stop{false};

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void SleepNs(int64_t ns) {
  const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
  nanosleep(&time, nullptr);
}

void BeginProgram() {
  struct sigaction stop {};  // what waits meanwhile is interrupted: a connect to a mediator that stands still
  stop.sa_handler = [](int) { g_stop = true; };
  sigaction(SIGTERM, &stop, nullptr);
  sigaction(SIGINT, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpriority(PRIO_PROCESS, 0, 0);  // the harness has a higher one
  AllDescriptors();
}

void AwaitStop() {
  while (!g_stop) SleepNs(10 * kNsPerMs);
}

void Say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
  std::fflush(stdout);
}

void Ready() { Say("READY"); }

void Die(const char* format, ...) {
  const int error = errno;
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf(" (errno %d: %s)\n", error, std::strerror(error));
  std::fflush(stdout);
  _exit(3);
}

UniqueFd Memfd(const char* name, uint64_t bytes, unsigned flags, int seals) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
  if (!fd) Die("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) Die("ftruncate");
  if (seals != 0 && fcntl(fd.get(), F_ADD_SEALS, seals) != 0) Die("seal");
  return fd;
}

char* Map(int fd, uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) Die("map %lu bytes", static_cast<unsigned long>(bytes));
  return static_cast<char*>(memory);
}

void Populate(char* memory, uint64_t bytes) {
  if (madvise(memory, bytes, MADV_POPULATE_WRITE) != 0)
    Die("populate %lu bytes", static_cast<unsigned long>(bytes));
}

void Punch(int fd, uint64_t offset, uint64_t bytes) {
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(fd, kMode, static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) Die("punch a hole");
}

UniqueFd Eventfd(int flags) {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | flags));
  if (!fd) Die("eventfd");
  return fd;
}

void Fill(int eventfd) {
  constexpr uint64_t kMost = 0xfffffffffffffffdull;
  if (write(eventfd, &kMost, sizeof kMost) != sizeof kMost) Die("fill an eventfd");
}

// ---- Connection ----

bool Connection::Connect(const std::string& path) {
  fd_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd_) return false;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0) return true;
  const int error = errno;
  Close();
  errno = error;
  return false;
}

std::string Connection::Encode(uint32_t type, const void* payload, uint32_t size) {
  const vgpu_msg_header header{VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, static_cast<uint16_t>(type), size,
                               0};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  if (size != 0) bytes.append(static_cast<const char*>(payload), size);
  return bytes;
}

bool Connection::SendBytes(const void* data, size_t bytes, const std::vector<int>& fds, int flags) const {
  const size_t fd_bytes = fds.size() * sizeof(int);
  std::vector<char> control(CMSG_SPACE(fd_bytes));
  iovec piece{const_cast<void*>(data), bytes};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fd_bytes);
    std::memcpy(CMSG_DATA(rights), fds.data(), fd_bytes);
  }
  return sendmsg(fd_.get(), &message, MSG_NOSIGNAL | flags) == static_cast<ssize_t>(bytes);
}

bool Connection::Send(uint32_t type, const void* payload, uint32_t size, const std::vector<int>& fds) const {
  const std::string bytes = Encode(type, payload, size);
  return SendBytes(bytes.data(), bytes.size(), fds);
}

bool Connection::Hello(uint32_t role) const {
  const vgpu_msg_hello hello{VGPU_ABI_VERSION, role};
  return Send(VGPU_MSG_HELLO, &hello, sizeof hello);
}

uint32_t Connection::ReadAll(char* to, size_t bytes, int64_t end_ns) const {
  constexpr uint32_t kAll = 1;
  while (bytes != 0) {
    const int64_t left_ms = std::max<int64_t>(0, (end_ns - NowNs()) / kNsPerMs);
    pollfd wait{fd_.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(left_ms));
    if (ready < 0 && errno == EINTR && !g_stop) continue;
    if (ready <= 0) return kTimeOut;
    const ssize_t got = recv(fd_.get(), to, bytes, 0);
    if (got <= 0) return kHungUp;
    to += got;
    bytes -= static_cast<size_t>(got);
  }
  return kAll;
}

uint32_t Connection::Receive(std::string* payload, int timeout_ms) const {
  const int64_t end_ns = NowNs() + timeout_ms * kNsPerMs;
  vgpu_msg_header header{};
  uint32_t read = ReadAll(reinterpret_cast<char*>(&header), sizeof header, end_ns);
  if (read == kHungUp || read == kTimeOut) return read;
  payload->resize(header.size);
  read = ReadAll(payload->data(), header.size, end_ns);
  return read == kHungUp || read == kTimeOut ? read : header.type;
}

size_t Connection::Drain() const {
  std::array<char, 65536> sink;
  size_t bytes = 0;
  for (ssize_t got; (got = recv(fd_.get(), sink.data(), sink.size(), MSG_DONTWAIT)) > 0;) {
    bytes += static_cast<size_t>(got);
  }
  return bytes;
}

bool Connection::StillOpen() const {
  char byte = 0;
  const ssize_t got = recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return got > 0 || (got < 0 && errno == EAGAIN);
}

// ---- Vm ----

Vm::Vm(const VmOptions& options) : options_(options) {
  private_fd_ = Memfd(options.name, VGPU_PRIVATE_BYTES);
  private_ = Map(private_fd_.get(), VGPU_PRIVATE_BYTES);
  Populate(private_, VGPU_PRIVATE_BYTES);
  vgpu_private_fill(private_);
  if (vgpu_layout_make(options.bytes, options.rings, options.entries, &layout_) != 0) Die("no such layout");
  region_fd_ = Memfd(options.name, options.bytes, options.memfd_flags);
  region_ = Map(region_fd_.get(), options.bytes);
  if (options.rings_file && options.memfd_flags == 0) LayRings();
  Populate(region_, options.bytes);
  vgpu_region_header_fill(reinterpret_cast<vgpu_region_header*>(region_), &layout_);
  for (uint32_t q = 0; q < doorbells(); ++q) {
    kick_[q] = Eventfd();
    call_[q] = Eventfd();
  }
}

void Vm::LayRings() {
  rings_fd_ = Memfd(options_.name, vgpu_rings_bytes(&layout_));
  const auto laid = ring::OverlayRings(region_, layout_, rings_fd_.get());
  if (!laid) Die("%s", laid.error().c_str());
}

Vm::~Vm() {
  DropRegion();
  munmap(private_, VGPU_PRIVATE_BYTES);
}

void Vm::DropRegion() {
  if (region_ != nullptr) munmap(std::exchange(region_, nullptr), options_.bytes);
  region_fd_.reset();
  rings_fd_.reset();
}

uint32_t Vm::TakenBy(uint32_t q) const {
  const char* journals = private_ + VGPU_JOURNAL_OFF;
  const auto* journal = reinterpret_cast<const vgpu_journal*>(journals + size_t{q} * VGPU_JOURNAL_STRIDE);
  return __atomic_load_n(&journal->cons, __ATOMIC_ACQUIRE);
}

void Vm::SendAttach() {
  connection_.Hello();
  const uint32_t rings = options_.rings;
  const vgpu_msg_attach attach{options_.vm_id,   'A', options_.priority, rings,
                               options_.entries, 0,   options_.bytes};
  std::vector<int> fds = {private_fd_.get(), kick_[rings].get(), call_[rings].get(), region_fd_.get()};
  if (rings_fd_) fds.push_back(rings_fd_.get());
  connection_.Send(VGPU_MSG_ATTACH, &attach, sizeof attach, fds);
  for (uint32_t q = 0; q < rings; ++q) {
    const vgpu_msg_ring ring{q, 0};
    connection_.Send(VGPU_MSG_RING, &ring, sizeof ring, {kick_[q].get(), call_[q].get()});
  }
  connection_.Send(VGPU_MSG_START);
}

bool Vm::AwaitGrant(int timeout_ms) {
  constexpr size_t kErrorText = offsetof(vgpu_msg_error, text);
  for (;;) {
    std::string payload;
    switch (const uint32_t type = connection_.Receive(&payload, timeout_ms)) {
      case VGPU_MSG_HELLO: continue;
      case VGPU_MSG_GRANT: return true;
      case VGPU_MSG_ERROR:
        error_ = payload.size() > kErrorText ? payload.c_str() + kErrorText : "?";
        return false;
      case kHungUp: error_ = "hung up"; return false;
      case kTimeOut: error_ = "no answer in time"; return false;
      default: error_ = "a message of type " + std::to_string(type); return false;
    }
  }
}

bool Vm::Attach(const std::string& socket, int timeout_ms) {
  if (!connection_.Connect(socket)) {
    error_ = std::string("cannot connect: ") + std::strerror(errno);
    return false;
  }
  SendAttach();
  return AwaitGrant(timeout_ms);
}

void Vm::AskEpoch(uint32_t q) {
  epochs_[q] = ring::RequestEpoch(ring(q), true);
  Kick(q);
}

bool Vm::Open(uint32_t q, int timeout_ms) {
  AskEpoch(q);
  const int64_t end_ns = NowNs() + timeout_ms * kNsPerMs;
  uint32_t state = 0;
  while (!ring::EpochAnswered(ring(q), epochs_[q], &state)) {
    if (NowNs() > end_ns || g_stop) return false;
    SleepNs(kCheckEveryNs);
  }
  producers_[q] = std::make_unique<Producer<RealMemory>>(ring(q), epochs_[q]);
  return state == VGPU_EPOCH_OPEN;
}

bool Vm::OpenAll() {
  for (uint32_t q = 0; q < options_.rings; ++q) {
    if (!Open(q)) return false;
  }
  return true;
}

void Vm::Kick(uint32_t q) const {
  constexpr uint64_t kOne = 1;
  [[maybe_unused]] const ssize_t written = write(kick_[q].get(), &kOne, sizeof kOne);  // full: rung already
}

uint32_t Vm::Add(uint32_t q, uint32_t a, uint32_t b) {
  const uint64_t operands = vgpu_word(a, b);
  return producers_[q]->Stage(VGPU_OP_ADD, 0, &operands, 1);
}

uint32_t Vm::AddVectors(uint32_t q, uint64_t count, uint64_t a, uint64_t b, uint64_t c) {
  const uint64_t operands[] = {count, a, b, c};
  return producers_[q]->Stage(VGPU_OP_VECTOR_ADD, VGPU_TYPE_I32, operands, 4);
}

void Vm::Flush(uint32_t q) {
  if (producers_[q]->Publish()) Kick(q);
}

// ---- Args ----

const char* Args::Text(const char* name, const char* fallback) const {
  for (int i = 1; i + 1 < argc_; ++i) {
    if (std::strcmp(argv_[i], name) == 0) return argv_[i + 1];
  }
  return fallback;
}

long Args::Number(const char* name, long fallback) const {
  const char* text = Text(name, nullptr);
  return text != nullptr ? std::strtol(text, nullptr, 0) : fallback;
}

VmOptions Args::Vm(uint32_t rings, uint32_t entries, uint64_t bytes) const {
  VmOptions options;
  options.vm_id = static_cast<uint32_t>(Number("--vm", 1000));
  options.priority = static_cast<uint32_t>(Number("--priority", 1));
  options.rings = static_cast<uint32_t>(Number("--rings", rings));
  options.entries = static_cast<uint32_t>(Number("--entries", entries));
  options.bytes = static_cast<uint64_t>(Number("--bytes", static_cast<long>(bytes)));
  options.rings_file = Number("--rings-file", 1) != 0;
  return options;
}

}  // namespace vgpu::bench::interference
