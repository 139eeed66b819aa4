// SPDX-License-Identifier: Apache-2.0
#include "mediator/process/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pwd.h>
#include <unistd.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vgpu::mediator {
namespace {

constexpr size_t kConfigBytesMax = 4 << 20;
constexpr size_t kKeyPartsMax = 128;
constexpr int kWriterMaxMs = 3'000;  // that a pipe's writer may take for its next piece

// Collects the first error; every helper does nothing after it.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }

  void Fail(const toml::node& node, const std::string& why) {
    if (!failed()) error_ = fmt::format("{}:{}: {}", name_, node.source().begin.line, why);
  }

  // Refuses keys that nobody reads: a typing error must not be a silent default.
  void OnlyKeys(const toml::table& table, const std::set<std::string_view>& known) {
    for (const auto& [key, value] : table) {
      if (!known.contains(key.str())) {
        Fail(value, fmt::format("unknown key '{}'; known here: {}", key.str(), fmt::join(known, ", ")));
      }
    }
  }

  std::optional<std::string> String(const toml::table& table, const char* key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    if (const auto value = node->value_exact<std::string>()) return value;
    Fail(*node, fmt::format("{} is not a string", key));
    return std::nullopt;
  }

  std::optional<bool> Bool(const toml::table& table, const char* key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    if (const auto value = node->value_exact<bool>()) return value;
    Fail(*node, fmt::format("{} is neither true nor false", key));
    return std::nullopt;
  }

  std::optional<int64_t> Integer(const toml::table& table, const char* key, int64_t min, int64_t max) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    const auto value = node->value_exact<int64_t>();
    if (value && *value >= min && *value <= max) return value;
    Fail(*node, fmt::format("{} is not an integer from {} to {}", key, min, max));
    return std::nullopt;
  }

  const toml::table* Table(const toml::table& table, const char* key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) Fail(*node, fmt::format("{} is not a table: write [{}]", key, key));
    return node->as_table();
  }

 private:
  const std::string name_;
  std::string error_;
};

template <class T>
void Choose(Reader* reader, const toml::table& table, const char* key,
            base::Result<T> (*parse)(const std::string&), T* out) {
  const auto name = reader->String(table, key);
  if (!name) return;
  const base::Result<T> value = parse(*name);
  if (value) {
    *out = *value;
  } else {
    reader->Fail(*table.get(key), value.error());
  }
}

base::Result<uint32_t> ParsePriority(const std::string& name) {
  for (uint32_t i = 0; const char* known : {"low", "medium", "high"}) {
    if (name == known) return i;
    ++i;
  }
  return tl::make_unexpected(fmt::format("priority '{}' is none of low, medium, high", name));
}

VmConfig ReadVm(Reader* reader, const toml::table& table) {
  VmConfig vm;
  reader->OnlyKeys(table, {"id", "pool", "priority"});
  const auto id = reader->Integer(table, "id", 0, UINT32_MAX);
  if (!id && !reader->failed()) reader->Fail(table, "a [[vm]] needs an id");
  vm.vm_id = static_cast<uint32_t>(id.value_or(0));
  if (const auto pool = reader->String(table, "pool")) {
    if (*pool != "A" && *pool != "B") reader->Fail(*table.get("pool"), "pool is neither \"A\" nor \"B\"");
    vm.pool = pool->empty() ? 'A' : pool->front();
  }
  Choose(reader, table, "priority", ParsePriority, &vm.priority);
  return vm;
}

void ReadVms(Reader* reader, const toml::table& root, Config* config) {
  const toml::node* node = root.get("vm");
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  const bool list = array != nullptr && (array->empty() || array->is_array_of_tables());
  if (!list) return reader->Fail(*node, "vm is not a list: write [[vm]]");
  for (const toml::node& entry : *array) {
    const VmConfig vm = ReadVm(reader, *entry.as_table());
    const bool twice = std::any_of(config->vms.begin(), config->vms.end(),
                                   [&](const VmConfig& other) { return other.vm_id == vm.vm_id; });
    if (twice) reader->Fail(entry, fmt::format("VM {} is there twice", vm.vm_id));
    config->vms.push_back(vm);
  }
}

base::Result<bool> ParseEngine(const std::string& name) {
  if (name == "auto") return true;
  if (name == "launch") return false;
  return tl::make_unexpected(fmt::format("engine '{}' is none of auto, launch", name));
}

// The GPUs of one pool: pool_a = [0, 1].
void ReadPool(Reader* reader, const toml::table& table, const char* key, char pool,
              std::vector<GpuChoice>* gpus) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return;
  if (!node->is_array())
    return reader->Fail(*node, fmt::format("{} is not a list of GPUs: write {} = [0]", key, key));
  for (const toml::node& entry : *node->as_array()) {
    const auto ordinal = entry.value_exact<int64_t>();
    if (!ordinal || *ordinal < 0 || *ordinal > 63) {
      return reader->Fail(entry, fmt::format("{} names a GPU that is not a number from 0 to 63", key));
    }
    auto gpu = std::find_if(gpus->begin(), gpus->end(),
                            [&](const GpuChoice& known) { return known.ordinal == *ordinal; });
    if (gpu == gpus->end()) gpu = gpus->insert(gpus->end(), {static_cast<int>(*ordinal), {}});
    gpu->pools.push_back(pool);
  }
}

void ReadGpu(Reader* reader, const toml::table& root, GpuConfig* gpu) {
  const toml::table* table = reader->Table(root, "gpu");
  if (table == nullptr) return;
  reader->OnlyKeys(*table, {"engine", "driver_library", "spare", "timeout_ms", "idle_ms", "park_s",
                            "start_ms", "copy_from_kib", "pool_a", "pool_b"});
  Choose(reader, *table, "engine", ParseEngine, &gpu->resident);
  gpu->driver_library = reader->String(*table, "driver_library").value_or(gpu->driver_library);
  gpu->spare = reader->Bool(*table, "spare").value_or(gpu->spare);
  const auto number = [&](const char* key, int64_t min, int64_t max, uint32_t* out) {
    *out = static_cast<uint32_t>(reader->Integer(*table, key, min, max).value_or(*out));
  };
  number("timeout_ms", 10, 600'000, &gpu->timeout_ms);
  number("idle_ms", 1, 600'000, &gpu->idle_ms);
  number("park_s", 0, 86'400, &gpu->park_s);
  number("start_ms", 1000, 600'000, &gpu->start_ms);
  number("copy_from_kib", 0, INT32_MAX, &gpu->copy_from_kib);
  // Else a VM would be blamed for a hang that is another one's.
  if (gpu->start_ms <= gpu->timeout_ms) reader->Fail(*table, "start_ms is not more than timeout_ms");
  ReadPool(reader, *table, "pool_a", 'A', &gpu->gpus);
  ReadPool(reader, *table, "pool_b", 'B', &gpu->gpus);
}

}  // namespace

base::Result<BackendChoice> ParseBackend(const std::string& name) {
  if (name == "auto") return BackendChoice::kAuto;
  if (name == "cpu") return BackendChoice::kCpu;
  if (name == "cuda") return BackendChoice::kCuda;
  return tl::make_unexpected(fmt::format("backend '{}' is none of auto, cpu, cuda", name));
}

base::Result<WaitMode> ParseWait(const std::string& name) {
  if (name == "adaptive") return WaitMode::kAdaptive;
  if (name == "sleep") return WaitMode::kSleep;
  if (name == "spin") return WaitMode::kSpin;
  return tl::make_unexpected(fmt::format("wait '{}' is none of adaptive, sleep, spin", name));
}

namespace {

// How many parts has the longest dotted key of this line, at most? Dots in strings count, too: nobody needs
// that many.
size_t DottedParts(std::string_view line) {
  size_t parts = 1;
  for (size_t dot = line.find('.'); dot != std::string_view::npos; dot = line.find('.', dot + 1)) {
    const size_t next = line.find_first_not_of(" \t", dot + 1);
    if (next != std::string_view::npos && line[next] != '.') ++parts;
  }
  return parts;
}

// The parser makes a table in a table for each part, and would run out of stack.
base::Result<void> CheckDepth(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (DottedParts(line) > kKeyPartsMax) {
      return tl::make_unexpected(
          fmt::format("{}:{}: more than {} dots in a line", name, number, kKeyPartsMax));
    }
  }
  return {};
}

// All of a file; pipes are read, too (--config <(...)), but not waited for without end.
base::Result<std::string> ReadAll(const std::string& path) {
  const auto fail = [&path](int error) {
    return tl::make_unexpected(
        fmt::format("cannot read the configuration {}: {}", path, std::strerror(error)));
  };
  const base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail(errno);
  std::string text;
  std::vector<char> piece(64 << 10);
  for (;;) {
    pollfd writer{fd.get(), POLLIN, 0};  // a file is always ready
    if (poll(&writer, 1, kWriterMaxMs) == 0) {
      return tl::make_unexpected(fmt::format(
          "cannot read the configuration {}: nobody has written to this pipe for {} s; name a file", path,
          kWriterMaxMs / 1000));
    }
    const ssize_t got = read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno);
    if (got == 0) return text;
    text.append(piece.data(), static_cast<size_t>(got));
    if (text.size() <= kConfigBytesMax) continue;
    return tl::make_unexpected(
        fmt::format("{} has more than {} MiB: is it a configuration?", path, kConfigBytesMax >> 20));
  }
}

}  // namespace

base::Result<Config> ParseConfig(const std::string& text, const std::string& name) {
  if (const auto depth = CheckDepth(text, name); !depth) return tl::make_unexpected(depth.error());
  toml::table root;
  try {
    root = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return tl::make_unexpected(
        fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  }
  Config config;
  Reader reader(name);
  reader.OnlyKeys(root, {"socket", "backend", "workers", "wait", "trace", "limits", "gpu", "vm"});
  config.socket = reader.String(root, "socket").value_or("");
  Choose(&reader, root, "backend", ParseBackend, &config.backend);
  Choose(&reader, root, "wait", ParseWait, &config.wait);
  config.workers = static_cast<uint32_t>(reader.Integer(root, "workers", 0, kWorkersMax).value_or(0));
  if (const toml::table* trace = reader.Table(root, "trace")) {
    reader.OnlyKeys(*trace, {"file", "records"});
    config.trace = reader.String(*trace, "file").value_or("");
    config.trace_records = static_cast<uint64_t>(
        reader.Integer(*trace, "records", 1, 1 << 30).value_or(static_cast<int64_t>(config.trace_records)));
  }
  if (const toml::table* limits = reader.Table(root, "limits")) {
    reader.OnlyKeys(*limits, {"vms_max", "region_bytes_max", "silent_s"});
    config.vms_max =
        static_cast<uint32_t>(reader.Integer(*limits, "vms_max", 1, 1024).value_or(config.vms_max));
    config.region_bytes_max = static_cast<uint64_t>(
        reader.Integer(*limits, "region_bytes_max", VGPU_REGION_BYTES_MIN, int64_t{VGPU_REGION_BYTES_MAX})
            .value_or(int64_t{VGPU_REGION_BYTES_MAX}));
    config.silent_s =
        static_cast<uint32_t>(reader.Integer(*limits, "silent_s", 1, 3600).value_or(config.silent_s));
  }
  ReadGpu(&reader, root, &config.gpu);
  ReadVms(&reader, root, &config);
  if (reader.failed()) return tl::make_unexpected(reader.error());
  return config;
}

base::Result<Config> LoadConfig(const std::string& path) {
  const auto text = ReadAll(path);
  if (!text) return tl::make_unexpected(text.error());
  return ParseConfig(*text, path);
}

namespace {

// Of this user, also where a service manager or cron has set no HOME.
// Never a folder that everybody can write to.
std::string Home() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') return home;
  std::vector<char> text(16 << 10);
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(geteuid(), &entry, text.data(), text.size(), &found);
  return found != nullptr && found->pw_dir != nullptr && *found->pw_dir == '/' ? found->pw_dir : "";
}

}  // namespace

std::string DefaultSocket() {
  std::string folder;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime != '\0') {
    folder = std::string(runtime) + "/vgpu-ring";
  } else if (geteuid() == 0) {
    folder = "/run/vgpu-ring";
  } else {
    const std::string home = Home();
    if (home.empty()) return "";
    folder = home + "/.vgpu-ring";
  }
  return folder + "/mediator.sock";
}

}  // namespace vgpu::mediator
