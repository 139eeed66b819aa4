// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/exchange.h"

#include <fcntl.h>

#include <map>
#include <string>

#include "base/unique_fd.h"
#include "bench/subjects/nfs/text_file.h"
#include "bench/subjects/nfs/vector_file.h"

namespace vgpu::bench::nfs {
namespace {

class ExchangeByPath final : public Exchange {
 public:
  void Send(const std::string& line) override { WriteLine(kRequestFile, line); }
  std::string Poll() override { return ReadLine(kResponseFile); }
  void Forget() override { Empty(kResponseFile); }
  void Write(const char* name, const void* from, size_t bytes) override {
    const base::UniqueFd file = Open(name, O_WRONLY | O_CREAT);
    WriteWhole(file.get(), name, from, bytes);
    Sync(file.get(), name);
  }
  void Read(const char* name, void* to, size_t bytes) override {
    ReadWhole(Open(name, O_RDONLY).get(), name, to, bytes);
  }
};

class DirectExchange final : public Exchange {
 public:
  // The host empties request.txt: what is there when the next line is written does not matter.
  void Send(const std::string& line) override { WriteLine(request_.get(), kRequestFile, line); }
  std::string Poll() override { return ReadLine(response_.get(), kResponseFile); }
  // By name: a client that believes an open file to be empty already would not ask the server to empty it.
  void Forget() override { Empty(kResponseFile); }
  void Write(const char* name, const void* from, size_t bytes) override {
    WriteWhole(FileOf(name), name, from, bytes);
  }
  void Read(const char* name, void* to, size_t bytes) override { ReadWhole(FileOf(name), name, to, bytes); }

 private:
  int FileOf(const char* name) {
    base::UniqueFd& file = vectors_[name];
    if (!file) file = Open(name, kFlags);
    return file.get();
  }

  static constexpr int kFlags = O_RDWR | O_CREAT | O_DIRECT;
  const base::UniqueFd request_ = Open(kRequestFile, kFlags);
  const base::UniqueFd response_ = Open(kResponseFile, kFlags);
  std::map<std::string, base::UniqueFd> vectors_;  // by name, once used
};

}  // namespace

std::unique_ptr<Exchange> MakeExchangeByPath() { return std::make_unique<ExchangeByPath>(); }
std::unique_ptr<Exchange> MakeDirectExchange() { return std::make_unique<DirectExchange>(); }

}  // namespace vgpu::bench::nfs
