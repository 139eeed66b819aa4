// SPDX-License-Identifier: Apache-2.0
// The daemon's framing: requests in pieces, and what no guest of ours sends.
#include "bench/subjects/socket/port_daemon.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "bench/subjects/socket/stream.h"
#include "bench/subjects/socket/vector_message.h"

namespace vgpu::bench::socket {
namespace {

class PortDaemonTest : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    guest_ = base::UniqueFd(ends[0]);
    daemon_ = std::thread([fd = base::UniqueFd(ends[1])] { ServePort(fd.get()); });
  }
  void TearDown() override {
    guest_.reset();
    daemon_.join();
  }

  static std::string Bytes(const VectorRequest& header, const std::vector<uint32_t>& operands) {
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    return bytes.append(reinterpret_cast<const char*>(operands.data()), operands.size() * sizeof(uint32_t));
  }
  void Say(const std::string& bytes) { ASSERT_TRUE(WriteAll(guest_.get(), bytes.data(), bytes.size())); }
  void ExpectSums(uint32_t request_id, const std::vector<uint32_t>& expected) {
    VectorResponse header;
    ASSERT_TRUE(ReadAll(guest_.get(), &header, sizeof header));
    EXPECT_EQ(header.status, kOk);
    EXPECT_EQ(header.request_id, request_id);
    ASSERT_EQ(header.count, expected.size());
    std::vector<uint32_t> sums(expected.size());
    ASSERT_TRUE(ReadAll(guest_.get(), sums.data(), sums.size() * sizeof(uint32_t)));
    EXPECT_EQ(sums, expected);
  }
  void ExpectEnd() {
    char more;
    EXPECT_FALSE(ReadAll(guest_.get(), &more, 1));
  }

  base::UniqueFd guest_;
  std::thread daemon_;
};

TEST_F(PortDaemonTest, AddsNumbersAndVectors) {
  Say(Bytes({kVectorVersion, 7, 1}, {100, 200}));
  ExpectSums(7, {300});
  Say(Bytes({kVectorVersion, 8, 3}, {1, 2, UINT32_MAX, 10, 20, 2}));
  ExpectSums(8, {11, 22, 1});
}

TEST_F(PortDaemonTest, TakesRequestsInPiecesAndSeveralInOne) {
  for (const char byte : Bytes({kVectorVersion, 1, 2}, {1, 2, 3, 4})) Say(std::string(1, byte));
  ExpectSums(1, {4, 6});
  Say(Bytes({kVectorVersion, 2, 1}, {5, 6}) + Bytes({kVectorVersion, 3, 1}, {7, 8}));
  ExpectSums(2, {11});
  ExpectSums(3, {15});
}

TEST_F(PortDaemonTest, RefusesWhatIsAgainstTheRulesAndHangsUp) {
  for (const VectorRequest& bad :
       {VectorRequest{kVectorVersion + 1, 9, 1}, VectorRequest{0, 9, 1}, VectorRequest{kVectorVersion, 9, 0},
        VectorRequest{kVectorVersion, 9, kElementsMax + 1}, VectorRequest{kVectorVersion, 9, UINT64_MAX},
        VectorRequest{kVectorVersion, 9, uint64_t{1} << 62}}) {
    Say(Bytes(bad, {}));
    VectorResponse header;
    ASSERT_TRUE(ReadAll(guest_.get(), &header, sizeof header));
    EXPECT_EQ(header.status, kRefused);
    EXPECT_EQ(header.request_id, 9u);
    EXPECT_EQ(header.count, 0u);
    ExpectEnd();
    TearDown();
    SetUp();
  }
}

TEST_F(PortDaemonTest, EndsWithAGuestThatGoesInTheMiddle) {
  const std::string whole = Bytes({kVectorVersion, 1, 1}, {1, 2});
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    Say(whole.substr(0, bytes));
    TearDown();  // joins
    SetUp();
  }
}

TEST_F(PortDaemonTest, EndsWithAGuestThatTakesNoAnswers) {
  const std::string request = Bytes({kVectorVersion, 1, 1 << 16}, std::vector<uint32_t>(2 << 16));
  Say(request);
  shutdown(guest_.get(), SHUT_RDWR);
}

}  // namespace
}  // namespace vgpu::bench::socket
