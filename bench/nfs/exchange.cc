// SPDX-License-Identifier: Apache-2.0
#include "bench/nfs/exchange.h"

#include <fcntl.h>

#include "bench/nfs/text_file.h"
#include "ring/unique_fd.h"

namespace vgpu::bench::nfs {
namespace {

class ExchangeByPath final : public Exchange {
 public:
  void Send(const std::string& line) override { WriteLine(kRequestFile, line); }
  std::string Look() override { return ReadLine(kResponseFile); }
  void Forget() override { Empty(kResponseFile); }
};

class DirectExchange final : public Exchange {
 public:
  // The host empties request.txt: what is there when the next line is written does not matter.
  void Send(const std::string& line) override { WriteLine(request_.get(), kRequestFile, line); }
  std::string Look() override { return ReadLine(response_.get(), kResponseFile); }
  // By name: a client that believes an open file to be empty already would not ask the server to empty it.
  void Forget() override { Empty(kResponseFile); }

 private:
  static constexpr int kFlags = O_RDWR | O_CREAT | O_DIRECT;
  const ring::UniqueFd request_ = Open(kRequestFile, kFlags);
  const ring::UniqueFd response_ = Open(kResponseFile, kFlags);
};

}  // namespace

std::unique_ptr<Exchange> MakeExchangeByPath() { return std::make_unique<ExchangeByPath>(); }
std::unique_ptr<Exchange> MakeDirectExchange() { return std::make_unique<DirectExchange>(); }

}  // namespace vgpu::bench::nfs
