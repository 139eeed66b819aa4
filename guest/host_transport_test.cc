// SPDX-License-Identifier: Apache-2.0
// Against a control socket of our own that says what each test wants said.
#include "guest/host_transport.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "api/codes.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/sanitized.h"
#include "base/unique_fd.h"
#include "guest/temp_folder.h"
#include "ring/region.h"

namespace vgpu::guest {
namespace {

using std::chrono::milliseconds;

TimePoint Soon() { return Clock::now() + std::chrono::seconds(20); }

// One message as the server sees it.
struct Got {
  uint32_t type = 0;
  std::vector<char> payload;
  std::vector<base::UniqueFd> fds;
};

// Reads one message; type 0 at the end of the connection.
Got ReadMessage(int socket) {
  Got got;
  vgpu_msg_header header;
  iovec part = {&header, sizeof(header)};
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (recvmsg(socket, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(header)) return got;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
      got.fds.emplace_back(fd);
    }
  }
  got.payload.resize(header.size);
  if (header.size > 0 && recv(socket, got.payload.data(), header.size, MSG_WAITALL) != header.size)
    return Got();
  got.type = header.type;
  return got;
}

template <class T>
T As(const Got& got) {
  T value{};
  EXPECT_EQ(got.payload.size(), sizeof(T));
  std::memcpy(&value, got.payload.data(), std::min(sizeof(T), got.payload.size()));
  return value;
}

void SendBytes(int socket, const void* data, size_t bytes) {
  EXPECT_EQ(send(socket, data, bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
}

template <class T>
void SendMessage(int socket, uint32_t type, const T& payload) {
  const vgpu_msg_header header = {VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, static_cast<uint16_t>(type),
                                  sizeof(T), 0};
  SendBytes(socket, &header, sizeof(header));
  SendBytes(socket, &payload, sizeof(payload));
}

// Everything that an attach brings, with START last.
std::vector<Got> ReadAttach(int socket) {
  std::vector<Got> all;
  do {
    all.push_back(ReadMessage(socket));
  } while (all.back().type != VGPU_MSG_START && all.back().type != 0);
  return all;
}

void SendGrant(int socket) {
  SendMessage(socket, VGPU_MSG_HELLO, vgpu_msg_hello{VGPU_ABI_VERSION, 0});
  SendMessage(socket, VGPU_MSG_GRANT, vgpu_msg_grant{5, 'B', 2, 0});
}

void SendError(int socket, uint32_t code, const char* text) {
  vgpu_msg_error error = {};
  error.code = code;
  std::strncpy(error.text, text, sizeof(error.text) - 1);
  SendMessage(socket, VGPU_MSG_ERROR, error);
}

// Waits for the peer to hang up.
void AwaitEnd(int socket) {
  while (ReadMessage(socket).type != 0) {}
}

// Accepts connections one after another; the n-th (from 0) is served by `serve`, on this server's thread.
class Server {
 public:
  using Serve = std::function<void(int socket, int nth)>;

  Server(const std::string& path, Serve serve) : serve_(std::move(serve)), stop_(eventfd(0, EFD_CLOEXEC)) {
    unlink(path.c_str());
    listener_ = base::UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~Server() {
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
    thread_.join();
  }

 private:
  void Run() {
    for (int nth = 0;; ++nth) {
      pollfd watched[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      poll(watched, 2, -1);
      if (watched[1].revents != 0) return;
      const base::UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      serve_(socket.get(), nth);
    }
  }

  Serve serve_;
  base::UniqueFd stop_;
  base::UniqueFd listener_;
  std::thread thread_;
};

ino_t InodeOf(const base::UniqueFd& fd) {
  struct stat info {};
  EXPECT_EQ(fstat(fd.get(), &info), 0);
  return info.st_ino;
}

// How many pages of this file its owner has not made present.
long MissingPages(const base::UniqueFd& fd) {
  struct stat info {};
  EXPECT_EQ(fstat(fd.get(), &info), 0);
  const auto bytes = static_cast<size_t>(info.st_size);
  const base::Mapping map = *base::MapShared(fd.get(), bytes);
  std::vector<unsigned char> pages(bytes / VGPU_PAGE_BYTES);
  EXPECT_EQ(mincore(map.data(), bytes, pages.data()), 0);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) == 0; });
}

class HostTransportTest : public testing::Test {
 protected:
  HostTransportTest() {
    options_.socket = (folder_.path() / "s").string();
    options_.vm_id = 9;
    options_.pool = 'B';
    options_.priority = 0;
    options_.rings = 2;
    options_.entries = 16;
    options_.region_bytes = 1u << 20;
  }

  // Opens against a server that answers the attach with `answer`, and expects this error.
  void ExpectError(const std::function<void(int)>& answer, uint32_t code, const std::string& part) {
    Server server(options_.socket, [&](int socket, int) {
      ReadAttach(socket);
      answer(socket);
    });
    auto transport = HostTransport::Open(options_, Clock::now() + milliseconds(2000));
    ASSERT_FALSE(transport);
    EXPECT_EQ(transport.error().code, code) << transport.error().text;
    EXPECT_NE(transport.error().text.find(part), std::string::npos) << transport.error().text;
  }

  const TempFolder folder_;
  HostOptions options_;
};

TEST_F(HostTransportTest, Attach_SendsASealedRegionAndEveryDescriptor) {
  std::vector<Got> attach;
  Server server(options_.socket, [&](int socket, int) {
    attach = ReadAttach(socket);
    SendGrant(socket);
    AwaitEnd(socket);
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport) << transport.error().text;
  EXPECT_EQ((*transport)->identity().vm_id, 5u) << "what was granted, not what was asked for";
  EXPECT_EQ((*transport)->identity().pool, uint32_t{'B'});
  EXPECT_EQ((*transport)->ring_state(), VGPU_RING_STATE_ATTACHED);

  ASSERT_EQ(attach.size(), 5u);
  EXPECT_EQ(attach[0].type, VGPU_MSG_HELLO);
  EXPECT_EQ(As<vgpu_msg_hello>(attach[0]).role, VGPU_ROLE_PROCESS);
  const auto asked = As<vgpu_msg_attach>(attach[1]);
  EXPECT_EQ(asked.vm_id, 9u);
  EXPECT_EQ(asked.pool, uint32_t{'B'});
  EXPECT_EQ(asked.priority, 0u);
  EXPECT_EQ(asked.ring_count, 2u);
  EXPECT_EQ(asked.entries, 16u);
  ASSERT_EQ(attach[1].fds.size(), 5u);
  EXPECT_TRUE(base::CheckSealed(attach[1].fds[0].get(), VGPU_PRIVATE_BYTES));
  EXPECT_TRUE(base::CheckSealed(attach[1].fds[3].get(), options_.region_bytes));
  EXPECT_TRUE(base::CheckSealed(attach[1].fds[4].get(), vgpu_rings_bytes(&(*transport)->layout())));
  for (uint32_t q = 0; q < 2; ++q) {
    EXPECT_EQ(attach[2 + q].type, VGPU_MSG_RING);
    EXPECT_EQ(As<vgpu_msg_ring>(attach[2 + q]).ring, q);
    EXPECT_EQ(attach[2 + q].fds.size(), 2u);
  }
  auto region = base::MapShared(attach[1].fds[3].get(), options_.region_bytes);
  ASSERT_TRUE(region);
  ASSERT_FALSE(ring::ReadLayout(*region)) << "its header is in the rings file";
  ASSERT_TRUE(ring::OverlayRings(region->data(), (*transport)->layout(), attach[1].fds[4].get()));
  auto layout = ring::ReadLayout(*region);
  ASSERT_TRUE(layout) << layout.error();
  EXPECT_EQ(layout->entries, 16u);
}

TEST_F(HostTransportTest, KickAndCall_TravelThroughTheDescriptors) {
  std::vector<Got> attach;
  std::atomic<bool> attached{false};
  Server server(options_.socket, [&](int socket, int) {
    attach = ReadAttach(socket);
    attached.store(true);
    SendGrant(socket);
    AwaitEnd(socket);
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport && attached.load());
  (*transport)->Kick(1);
  uint64_t count = 0;
  ASSERT_EQ(read(attach[3].fds[0].get(), &count, sizeof(count)), static_cast<ssize_t>(sizeof(count)));
  EXPECT_EQ(count, 1u);
  EXPECT_LT(read(attach[2].fds[0].get(), &count, sizeof(count)), 0) << "the other ring's is untouched";

  EXPECT_EQ((*transport)->SleepUntilCall(0, Clock::now() + milliseconds(10)), Wake::kDeadline);
  ASSERT_EQ(write(attach[2].fds[1].get(), &count, sizeof(count)), static_cast<ssize_t>(sizeof(count)));
  EXPECT_EQ((*transport)->SleepUntilCall(0, Soon()), Wake::kCheck);
  EXPECT_EQ((*transport)->SleepUntilCall(0, Clock::now() + milliseconds(10)), Wake::kDeadline)
      << "the call was drained";
}

TEST_F(HostTransportTest, NoMediator_SaysHowToStartIt) {
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_FALSE(transport);
  EXPECT_EQ(transport.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(transport.error().text.find("start the mediator"), std::string::npos) << transport.error().text;
}

// Each reason for which nobody can be reached has a remedy of its own.
TEST_F(HostTransportTest, NobodyThere_NamesWhatIsThereInstead) {
  const auto error = [&] {
    auto transport = HostTransport::Open(options_, Soon());
    EXPECT_FALSE(transport);
    return transport ? Error(VGPU_ERR_SYSTEM, "") : transport.error();
  };
  const auto expect = [&](uint32_t code, const char* part) {
    const Error got = error();
    EXPECT_EQ(got.code, code) << got.text;
    EXPECT_NE(got.text.find(part), std::string::npos) << got.text;
  };
  expect(VGPU_ERR_UNAVAILABLE, "there is no such socket");
  const auto listen_and_end = [&](int kind) {
    const base::UniqueFd other(socket(AF_UNIX, kind | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, options_.socket.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(other.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    if (kind == SOCK_DGRAM) expect(VGPU_ERR_BAD_ARGUMENT, "socket of another kind");
  };
  listen_and_end(SOCK_STREAM);
  expect(VGPU_ERR_UNAVAILABLE, "the one that made this socket has ended");
  unlink(options_.socket.c_str());
  listen_and_end(SOCK_DGRAM);
  unlink(options_.socket.c_str());
  close(creat(options_.socket.c_str(), 0600));
  expect(VGPU_ERR_BAD_ARGUMENT, "is no socket");
  options_.socket += "/below/a/file";
  expect(VGPU_ERR_BAD_ARGUMENT, "Not a directory");
}

TEST_F(HostTransportTest, TooManyOpenFiles_SaysWhichLimit) {
  // Without a descriptor to spare it takes each object for one that is none.
  if (base::kSanitized) GTEST_SKIP() << "a sanitizer needs descriptors of its own";
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const base::UniqueFd next(dup(0));
  for (const rlim_t more : {1u, 3u, 5u}) {  // no memory, not every eventfd, no socket
    const rlimit few = {static_cast<rlim_t>(next.get()) + more, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    auto transport = HostTransport::Open(options_, Soon());
    setrlimit(RLIMIT_NOFILE, &before);
    ASSERT_FALSE(transport);
    EXPECT_EQ(transport.error().code, VGPU_ERR_SYSTEM);
    EXPECT_NE(transport.error().text.find("open files"), std::string::npos) << transport.error().text;
  }
}

TEST_F(HostTransportTest, BadOptions_AreTheCallersMistake) {
  HostOptions bad = options_;
  bad.entries = 3;
  EXPECT_EQ(HostTransport::Open(bad, Soon()).error().code, VGPU_ERR_BAD_ARGUMENT);
  bad = options_;
  bad.region_bytes = 12345;
  EXPECT_EQ(HostTransport::Open(bad, Soon()).error().code, VGPU_ERR_BAD_ARGUMENT);
  bad = options_;
  bad.rings = 9;
  EXPECT_EQ(HostTransport::Open(bad, Soon()).error().code, VGPU_ERR_BAD_ARGUMENT);
  bad = options_;
  bad.socket = std::string(200, 'x');
  EXPECT_EQ(HostTransport::Open(bad, Soon()).error().code, VGPU_ERR_BAD_ARGUMENT);
}

TEST_F(HostTransportTest, Refused_ShowsTheMediatorsReason) {
  ExpectError([](int socket) { SendError(socket, VGPU_ERR_INVALID_POOL, "pool 'B' is not yours"); },
              VGPU_ERR_INVALID_POOL, "pool 'B' is not yours");
}

TEST_F(HostTransportTest, RefusedBeforeTheAttachWasRead_ShowsTheReasonToo) {
  Server server(options_.socket,
                [](int socket, int) { SendError(socket, VGPU_ERR_RATE_LIMITED, "too many"); });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_FALSE(transport);
  EXPECT_EQ(transport.error().code, VGPU_ERR_RATE_LIMITED) << transport.error().text;
}

TEST_F(HostTransportTest, OtherVersions_AreNamed) {
  ExpectError(
      [](int socket) {
        SendMessage(socket, VGPU_MSG_HELLO, vgpu_msg_hello{0x00020003, 0});
      },
      VGPU_ERR_VERSION, "ABI version 2.3");
  ExpectError(
      [](int socket) {
        const vgpu_msg_header header = {VGPU_CONTROL_MAGIC, 9, VGPU_MSG_HELLO, 0, 0};
        SendBytes(socket, &header, sizeof(header));
      },
      VGPU_ERR_VERSION, "control protocol 9");
}

TEST_F(HostTransportTest, Rubbish_IsNotAMediator) {
  ExpectError([](int socket) { SendBytes(socket, "HTTP/1.1 400 Bad Request\r\n", 26); }, VGPU_ERR_VERSION,
              "not a vgpu-ring mediator");
  ExpectError(
      [](int socket) {
        const vgpu_msg_header header = {VGPU_CONTROL_MAGIC, VGPU_CONTROL_VERSION, VGPU_MSG_GRANT, UINT32_MAX,
                                        0};
        SendBytes(socket, &header, sizeof(header));
      },
      VGPU_ERR_VERSION, "install matching versions");
  ExpectError([](int socket) { SendMessage(socket, VGPU_MSG_GRANT, uint32_t{1}); }, VGPU_ERR_VERSION,
              "too short");
}

TEST_F(HostTransportTest, HangUpOrTruncatedMessage_Unavailable) {
  ExpectError([](int) {}, VGPU_ERR_UNAVAILABLE, "closed the connection");
  ExpectError([](int socket) { SendBytes(socket, "VGC", 3); }, VGPU_ERR_UNAVAILABLE, "closed the connection");
}

TEST_F(HostTransportTest, SilentMediator_UnavailableAtTheDeadline) {
  Server server(options_.socket, [](int socket, int) { AwaitEnd(socket); });
  auto transport = HostTransport::Open(options_, Clock::now() + milliseconds(50));
  ASSERT_FALSE(transport);
  EXPECT_EQ(transport.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(transport.error().text.find("did not answer in time"), std::string::npos);
}

TEST_F(HostTransportTest, StateMessage_IsSeenByTheSleeper) {
  Server server(options_.socket, [&](int socket, int) {
    ReadAttach(socket);
    SendGrant(socket);
    SendMessage(socket, VGPU_MSG_STATE, vgpu_msg_state{VGPU_RING_STATE_FENCED, VGPU_ERR_FENCED});
    AwaitEnd(socket);
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport);
  const TimePoint deadline = Soon();
  while ((*transport)->ring_state() != VGPU_RING_STATE_FENCED && Clock::now() < deadline) {
    EXPECT_EQ((*transport)->SleepUntilCall(0, deadline), Wake::kCheck);
  }
  EXPECT_EQ((*transport)->ring_state(), VGPU_RING_STATE_FENCED);
}

TEST_F(HostTransportTest, LinkLost_TheSameMemoryIsAttachedAgain) {
  std::vector<Got> attaches[2];
  Server server(options_.socket, [&](int socket, int nth) {
    if (nth >= 2) return;
    attaches[nth] = ReadAttach(socket);
    SendGrant(socket);
    if (nth == 1) AwaitEnd(socket);
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport);
  EXPECT_EQ((*transport)->SleepUntilCall(0, Soon()), Wake::kLinkLost);
  (*transport)->Kick(0);  // while nobody listens
  ASSERT_TRUE((*transport)->AwaitLink(Soon()));
  EXPECT_EQ((*transport)->ring_state(), VGPU_RING_STATE_ATTACHED);
  ASSERT_EQ(attaches[1].size(), attaches[0].size());
  for (const size_t memory : {0u, 3u}) {
    EXPECT_EQ(InodeOf(attaches[0][1].fds[memory]), InodeOf(attaches[1][1].fds[memory]));
  }
  uint64_t count = 0;
  EXPECT_EQ(read(attaches[1][2].fds[0].get(), &count, sizeof(count)), static_cast<ssize_t>(sizeof(count)))
      << "the kick stayed in its eventfd";
  EXPECT_EQ((*transport)->SleepUntilCall(0, Clock::now() + milliseconds(10)), Wake::kDeadline);
}

TEST_F(HostTransportTest, EveryPageIsPresentAtEachAttach) {
  long missing[2][3] = {{-1, -1, -1}, {-1, -1, -1}};
  vgpu_layout layout{};
  ASSERT_EQ(vgpu_layout_make(options_.region_bytes, options_.rings, options_.entries, &layout), 0);
  // The region's own pages below the rings file are never there.
  const long covered = static_cast<long>(vgpu_rings_bytes(&layout) / VGPU_PAGE_BYTES);
  Server server(options_.socket, [&](int socket, int nth) {
    const std::vector<Got> attach = ReadAttach(socket);
    if (nth >= 2 || attach.size() < 2) return;
    for (const size_t i : {0u, 1u, 2u}) {
      // The private file, the region, the rings file.
      const base::UniqueFd& memory = attach[1].fds[i == 0 ? 0 : 2 + i];
      missing[nth][i] = MissingPages(memory);
      const off_t begin = i == 2 ? 0 : 32 << 10;
      EXPECT_EQ(fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, 64 << 10), 0);
    }
    SendGrant(socket);
    if (nth == 1) AwaitEnd(socket);
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport) << transport.error().text;
  EXPECT_EQ((*transport)->SleepUntilCall(0, Soon()), Wake::kLinkLost);
  ASSERT_TRUE((*transport)->AwaitLink(Soon()));
  for (const auto& attach : missing) {
    EXPECT_EQ(attach[0], 0);
    EXPECT_EQ(attach[1], covered);
    EXPECT_EQ(attach[2], 0);
  }
}

TEST_F(HostTransportTest, LinkLostForGood_UnavailableAtTheDeadline) {
  std::unique_ptr<HostTransport> transport;
  {
    Server server(options_.socket, [&](int socket, int) {
      ReadAttach(socket);
      SendGrant(socket);
    });
    transport = std::move(*HostTransport::Open(options_, Soon()));
  }
  auto back = transport->AwaitLink(Clock::now() + milliseconds(50));
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, VGPU_ERR_UNAVAILABLE);
  EXPECT_NE(back.error().text.find("none came back"), std::string::npos) << back.error().text;
  EXPECT_EQ(transport->ring_state(), VGPU_RING_STATE_NO_MEDIATOR);
}

TEST_F(HostTransportTest, NextMediatorRefuses_IsFinal) {
  Server server(options_.socket, [&](int socket, int nth) {
    ReadAttach(socket);
    if (nth == 0) {
      SendGrant(socket);
    } else {
      SendError(socket, VGPU_ERR_INVALID_REQUEST, "vm_id 9 is attached already");
    }
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport);
  auto back = (*transport)->AwaitLink(Soon());
  while (back) back = (*transport)->AwaitLink(Soon());  // until the first connection's end is seen
  EXPECT_EQ(back.error().code, VGPU_ERR_INVALID_REQUEST);
  EXPECT_NE(back.error().text.find("vm_id 9 is attached already"), std::string::npos) << back.error().text;
}

TEST_F(HostTransportTest, Quarantined_AttachedOrAtAttach_IsARingState) {
  Server server(options_.socket, [&](int socket, int nth) {
    ReadAttach(socket);
    if (nth == 0) {
      SendGrant(socket);
      SendMessage(socket, VGPU_MSG_STATE, vgpu_msg_state{VGPU_RING_STATE_QUARANTINED, VGPU_ERR_QUARANTINED});
    } else {
      SendError(socket, VGPU_ERR_QUARANTINED, "VM 9 is quarantined: `vgpuctl release 9`");
    }
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport);
  while ((*transport)->SleepUntilCall(0, Soon()) == Wake::kCheck) {
    EXPECT_EQ((*transport)->ring_state(), VGPU_RING_STATE_QUARANTINED);
  }
  auto back = (*transport)->AwaitLink(Soon());
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, VGPU_ERR_QUARANTINED);
  EXPECT_NE(back.error().text.find("vgpuctl release"), std::string::npos) << back.error().text;
  EXPECT_EQ((*transport)->ring_state(), VGPU_RING_STATE_QUARANTINED);
}

TEST_F(HostTransportTest, Ring_HasOneOwner) {
  Server server(options_.socket, [&](int socket, int) {
    ReadAttach(socket);
    SendGrant(socket);
    AwaitEnd(socket);
  });
  auto transport = HostTransport::Open(options_, Soon());
  ASSERT_TRUE(transport);
  EXPECT_TRUE((*transport)->ClaimRing(0));
  EXPECT_EQ((*transport)->ClaimRing(0).error().code, VGPU_ERR_RING_BUSY);
  EXPECT_TRUE((*transport)->ClaimRing(1));
  (*transport)->ReleaseRing(0);
  EXPECT_TRUE((*transport)->ClaimRing(0));
}

}  // namespace
}  // namespace vgpu::guest
