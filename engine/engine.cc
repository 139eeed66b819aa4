// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "api/codes.h"
#include "base/bus_error_guard.h"
#include "base/channel.h"
#include "base/mapping.h"
#include "base/missing_pages.h"
#include "base/program.h"
#include "base/unique_fd.h"
#include "engine/deadline.h"
#include "engine/lanes.h"
#include "engine/messages.h"
#include "engine/options.h"
#include "engine/regions.h"
#include "engine/resident.h"
#include "gpu/batch_abi.h"
#include "gpu/kernels.h"
#include "operations/table.h"
#include "ring/consumer.h"

namespace vgpu::engine {
namespace {

using std::chrono::steady_clock;

// Longer than a piece: between the pieces of a vector nobody sleeps, and the mediator, which has others to
// serve, need not wake anybody.
constexpr std::chrono::microseconds kSpin{200};
constexpr uint32_t kPollsPerClock = 64;
// How often a GPU that works is asked whether it is well.
constexpr std::chrono::milliseconds kHealth{1};

using Frame = base::Frame<base::UniqueFd>;

// To the mediator, from any thread. If it does not read, it is about to end, or to end this process.
void Tell(MessageType type, std::string_view payload = {}) {
  base::SendFrame(kSocketFd, kEngineFormat, type, payload);
}

class Engine {
 public:
  explicit Engine(EngineOptions options) : options_(std::move(options)) {}

  gpu::Result<void> Open();
  void TellReady();
  // The job thread; returns only with an error of the GPU.
  gpu::CuResult Work();
  // The control thread; ends the process when the mediator is gone.
  void Control();
  std::string Explain(gpu::CuResult result) const { return driver_.Check(result, "the GPU").error(); }

 private:
  gpu::Result<void> OpenArea();
  uint32_t TakeJobs();
  uint32_t Translate(const ring::SlotCopy& copy, uint32_t idx, Job* job) const;
  static uint32_t TranslateSum(const ring::SlotCopy& copy, uint64_t base, uint64_t bytes, Job* job);
  static uint32_t TranslateVectors(const ring::SlotCopy& copy, uint64_t base, uint64_t bytes, Job* job);
  void Refuse(uint32_t idx, uint32_t code);
  gpu::CuResult StartJobs(uint32_t count);
  gpu::CuResult LookAfterResident(steady_clock::time_point now);
  void NotIdle(steady_clock::time_point now) {
    idle_since_ = now;
    told_idle_ = false;
  }
  int SleepMs(steady_clock::time_point now) const;
  bool Sleep(steady_clock::time_point now);
  static void KickJobThread();
  void HandleRegister(const RegisterMessage& message, std::vector<base::UniqueFd> fds);
  void HandleUnregister(const RegionMessage& message);
  void Handle(Frame frame);

  const EngineOptions options_;
  gpu::CudaDriver driver_;
  std::unique_ptr<gpu::Device> device_;
  base::Mapping area_mapping_;
  std::unique_ptr<gpu::HostRegistration> area_registration_;
  Area* area_ = nullptr;
  std::unique_ptr<gpu::Stream> resident_stream_;
  std::unique_ptr<Resident> resident_;
  std::unique_ptr<Lanes> lanes_;
  std::unique_ptr<Regions> regions_;
  gpu::CuDevicePtr left_ = 0;  // a counter for each job slot, in the GPU's memory
  ring::Consumer<ring::RealMemory> consumer_;
  std::array<Job, kJobEntries> jobs_{};
  bool want_resident_ = false;
  bool busy_ = false;  // jobs are on the GPU
  steady_clock::time_point idle_since_ = steady_clock::now();
  bool told_idle_ = false;

  // The control thread asks the job thread to keep the resident kernel away.
  std::atomic<bool> keep_away_{false};
  std::atomic<bool> kept_away_{false};
};

gpu::Result<void> Engine::Open() {
  auto driver = gpu::LoadCudaDriver(gpu::kKernelsVersion, options_.driver_library.c_str());
  if (!driver) return tl::make_unexpected(driver.error());
  driver_ = *driver;
  auto device = gpu::Device::Open(&driver_, options_.gpu);
  if (!device) return tl::make_unexpected(device.error());
  device_ = std::move(*device);
  if (const auto opened = OpenArea(); !opened) return opened;
  auto stream = gpu::Stream::Create(*device_, device_->most_urgent());
  if (!stream) return tl::make_unexpected(stream.error());
  resident_stream_ = std::make_unique<gpu::Stream>(std::move(*stream));
  resident_ = std::make_unique<Resident>(
      device_.get(), resident_stream_.get(), area_, area_registration_->address(),
      ResidentOptions{options_.resident, std::chrono::milliseconds(options_.idle_ms)});
  auto lanes = Lanes::Create(device_.get());
  if (!lanes) return tl::make_unexpected(lanes.error());
  lanes_ = std::move(*lanes);
  regions_ = std::make_unique<Regions>(device_.get(), area_->resident.slots, area_->lost);
  return driver_.Check(driver_.MemAlloc(&left_, kJobEntries * sizeof(uint32_t)), "memory of the GPU")
      .and_then([&] { return driver_.Check(driver_.MemsetD32(left_, 0, kJobEntries), "memory of the GPU"); })
      .and_then([&] { return driver_.Check(lanes_->WarmUp(area_->job_when), "a first launch"); })
      .and_then([&] { return driver_.Check(resident_->WarmUp(), "the resident kernel"); });
}

gpu::Result<void> Engine::OpenArea() {
  auto mapping = base::MapShared(kAreaFd, sizeof(Area));
  if (!mapping) return tl::make_unexpected(mapping.error());
  area_mapping_ = std::move(*mapping);
  area_ = reinterpret_cast<Area*>(area_mapping_.data());
  auto registration = gpu::HostRegistration::Create(*device_, area_, area_mapping_.bytes());
  if (!registration) return tl::make_unexpected(registration.error());
  area_registration_ = std::make_unique<gpu::HostRegistration>(std::move(*registration));
  consumer_ = ring::Consumer<ring::RealMemory>(ring::RingAt(area_->jobs, kJobEntries), kJobEpoch);
  return {};
}

void Engine::TellReady() {
  ReadyMessage message{};
  message.memory_bytes = device_->memory_bytes();
  int count = 0;
  int version = 0;
  std::string release;  // "580.159.04", where the kernel tells it
  std::ifstream("/sys/module/nvidia/version") >> release;
  if (driver_.DeviceGetCount(&count) == gpu::kCuSuccess) message.gpus = static_cast<uint32_t>(count);
  if (driver_.DriverGetVersion(&version) != gpu::kCuSuccess) version = 0;
  SetText(message.name, device_->name());
  const std::string cuda = fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
  SetText(message.driver, release.empty() ? cuda : fmt::format("{}, {}", release, cuda));
  Tell(kReady, BytesOf(message));
}

// ---- jobs ----

uint32_t Engine::TakeJobs() {
  uint32_t count = 0;
  ring::SlotCopy copy;
  while (count < kJobEntries && consumer_.Take(&copy)) {
    const uint32_t idx = consumer_.cons() - 1;
    const uint32_t code = Translate(copy, idx, &jobs_[count]);
    if (code != VGPU_OK) {
      Refuse(idx, code);
      continue;
    }
    if (jobs_[count++].gpu.kind == VGPU_JOB_ADD) want_resident_ = true;
  }
  return count;
}

// Ends a job that the GPU never sees. Without an answer it would be overdue, and the mediator would take the
// engine, with all its VMs, for hung.
void Engine::Refuse(uint32_t idx, uint32_t code) {
  ring::RealMemory::StoreRelaxed(&area_->job_when[idx & (kJobEntries - 1)], 0);
  consumer_.Complete(idx, {code, 0});
}

// Offsets to addresses. The mediator has checked them; that they lie in a region that is there is checked
// again, since a GPU's illegal address costs everybody a restart. Returns VGPU_ERR_UNSUPPORTED for a kind
// that this worker does not know, and VGPU_ERR_INVALID_REQUEST for a place that is not there.
uint32_t Engine::Translate(const ring::SlotCopy& copy, uint32_t idx, Job* job) const {
  const uint32_t head = vgpu_word_data(copy.submit);
  const uint32_t region = vgpu_word_seq(copy.arg[0]);
  const uint64_t base = regions_->at(region);
  const uint64_t bytes = regions_->bytes(region);
  const uint32_t kind = head & 0xffff;
  *job = {};
  job->flags = head >> 16 & 0xff;
  job->priority = vgpu_word_data(copy.arg[0]);
  job->gpu.kind = kind;
  job->gpu.done = reinterpret_cast<uint64_t*>(consumer_.ring().done(idx));
  job->gpu.seq = consumer_.ring().tag(kJobEpoch, idx) << 8;
  job->gpu.left = reinterpret_cast<uint32_t*>(left_) + (idx & (kJobEntries - 1));
  job->gpu.when = &area_->job_when[idx & (kJobEntries - 1)];
#ifdef VGPU_CRASH_POINTS
  if (kind == VGPU_JOB_HANG) job->gpu.a = area_registration_->address();
  if (kind == VGPU_JOB_HANG || kind == VGPU_JOB_FAULT) return VGPU_OK;
#endif
  return kind == VGPU_JOB_ADD ? TranslateSum(copy, base, bytes, job)
                              : TranslateVectors(copy, base, bytes, job);
}

// `base` and `bytes` are the region's; a base of 0: it is not there.
uint32_t Engine::TranslateSum(const ring::SlotCopy& copy, uint64_t base, uint64_t bytes, Job* job) {
  const uint64_t done = copy.arg[2];
  if (base == 0 || done % sizeof done != 0 || done > bytes - sizeof done) return VGPU_ERR_INVALID_REQUEST;
  job->gpu.a = copy.arg[1];
  job->gpu.b = copy.arg[3];
  job->gpu.c = base + done;
  return VGPU_OK;
}

uint32_t Engine::TranslateVectors(const ring::SlotCopy& copy, uint64_t base, uint64_t bytes, Job* job) {
  const uint64_t element = operations::Vectors::BytesOf(job->gpu.kind - VGPU_JOB_VECTORS);
  if (element == 0) return VGPU_ERR_UNSUPPORTED;
  const uint64_t count = copy.arg[1];
  if (base == 0 || count > bytes / element) return VGPU_ERR_INVALID_REQUEST;
  job->bytes = count * element;
  if ((job->flags & kJobCopies) != 0 && job->bytes > kCopyBytesMax) return VGPU_ERR_INVALID_REQUEST;
  for (const uint64_t off : {copy.arg[2], copy.arg[3], copy.arg[4]}) {
    if (off % element != 0 || off > bytes - job->bytes) return VGPU_ERR_INVALID_REQUEST;
  }
  job->gpu.count = count;
  job->gpu.a = base + copy.arg[2];
  job->gpu.b = base + copy.arg[3];
  job->gpu.c = base + copy.arg[4];
  return VGPU_OK;
}

gpu::CuResult Engine::StartJobs(uint32_t count) {
  for (uint32_t first = 0; first < count;) {
    uint32_t end = first + 1;
    while (end < count && end - first < VGPU_BATCH_JOBS && Lanes::Together(jobs_[first], jobs_[end])) ++end;
    const gpu::CuResult started = lanes_->Start(std::span(&jobs_[first], end - first));
    if (started != gpu::kCuSuccess) return started;
    first = end;
  }
  return gpu::kCuSuccess;
}

gpu::CuResult Engine::LookAfterResident(steady_clock::time_point now) {
  const bool keep_away = keep_away_.load(std::memory_order_acquire);
  if (keep_away) {
    resident_->Forbid();
  } else {
    resident_->Allow();
    if (want_resident_) {
      if (const gpu::CuResult result = resident_->Want(now); result != gpu::kCuSuccess) return result;
    }
  }
  want_resident_ = false;
  const gpu::CuResult result = resident_->Step(now);
  const bool kept_away = keep_away && resident_->away();
  if (kept_away_.exchange(kept_away, std::memory_order_acq_rel) != kept_away) kept_away_.notify_all();
  return result;
}

// A descriptor alone wakes an engine that has nothing on its GPU, but once for each time that it falls idle.
int Engine::SleepMs(steady_clock::time_point now) const {
  if (busy_) return static_cast<int>(kHealth.count());
  if (!resident_->away()) return static_cast<int>(Resident::kStepEvery.count());
  if (told_idle_ || options_.park_s == 0) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(idle_since_ + std::chrono::seconds(options_.park_s) - now);
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

// False: there is a job already.
bool Engine::Sleep(steady_clock::time_point now) {
  if (!consumer_.ArmKick()) return false;
  pollfd kick{kKickFd, POLLIN, 0};
  const int timeout_ms = SleepMs(now);
  poll(&kick, 1, timeout_ms);
  uint64_t count;
  if ((kick.revents & POLLIN) != 0) {
    if (read(kKickFd, &count, sizeof count) < 0) return false;
    NotIdle(steady_clock::now());
  } else if (timeout_ms == 0) {
    Tell(kIdle);
    told_idle_ = true;
  }
  consumer_.DisarmKick();
  return true;
}

gpu::CuResult Engine::Work() {
  auto last_work = steady_clock::now();
  NotIdle(last_work);
  auto last_check = last_work;
  for (uint32_t polls = 0;;) {
    if (const uint32_t count = TakeJobs(); count != 0) {
      const gpu::CuResult started = StartJobs(count);
      if (started != gpu::kCuSuccess) return started;
      busy_ = true;
      polls = 0;
      last_work = steady_clock::now();
      NotIdle(last_work);
    } else if (++polls % kPollsPerClock != 0) {
      __builtin_ia32_pause();
      continue;
    }
    const auto now = steady_clock::now();
    const bool idle = now - last_work >= kSpin;
    if (idle || want_resident_ || now - last_check >= kHealth || keep_away_.load(std::memory_order_relaxed)) {
      last_check = now;
      gpu::CuResult well = LookAfterResident(now);
      if (well == gpu::kCuSuccess) well = lanes_->Busy(&busy_);
      if (well != gpu::kCuSuccess) return well;
      if (busy_ || !resident_->away()) NotIdle(now);
    }
    // While the resident kernel is on its way out, or must go, it is looked after without a pause.
    if (idle && !(keep_away_.load(std::memory_order_acquire) && !resident_->away())) Sleep(now);
  }
}

// ---- control ----

void Engine::KickJobThread() {
  const uint64_t one = 1;
  if (write(kKickFd, &one, sizeof one) < 0) std::_Exit(EXIT_FAILURE);
}

void Engine::HandleRegister(const RegisterMessage& message, std::vector<base::UniqueFd> fds) {
  fds.resize(2);  // the rings file may be missing
  RegisteredMessage answer{};
  answer.region = message.region;
  const auto added = [&] {
    const Deadline deadline(std::chrono::milliseconds(options_.start_ms), "to register a VM's memory");
    return regions_->Add(message.region, message.layout, fds[0], fds[1]);
  }();
  answer.ok = added.has_value();
  if (!added) SetText(answer.text, added.error());
  KickJobThread();  // this was work, too
  Tell(kRegistered, BytesOf(answer));
}

void Engine::HandleUnregister(const RegionMessage& message) {
  {
    const Deadline deadline(std::chrono::milliseconds(options_.start_ms), "to unregister a VM's memory");
    kept_away_ = false;
    keep_away_ = true;
    KickJobThread();
    kept_away_.wait(false, std::memory_order_acquire);
    regions_->Remove(message.region);
  }
  keep_away_ = false;
  Tell(kUnregistered, BytesOf(message));
}

void Engine::Handle(Frame frame) {
  const auto* to_register = frame.As<RegisterMessage>();
  const auto* region = frame.As<RegionMessage>();
  if (frame.type == kRegister && to_register != nullptr)
    return HandleRegister(*to_register, std::move(frame.fds));
  if (frame.type == kUnregister && region != nullptr) return HandleUnregister(*region);
  std::_Exit(EXIT_FAILURE);  // the mediator says nothing else
}

void Engine::Control() {
  if (!device_->MakeCurrent()) std::_Exit(EXIT_FAILURE);
  base::Channel channel(base::UniqueFd(kSocketFd), kEngineFormat);
  for (;;) {
    Frame frame;
    const auto received = channel.Receive(&frame);
    if (!received || *received == base::Received::kClosed) std::_Exit(EXIT_SUCCESS);
    if (*received == base::Received::kFrame) {
      Handle(std::move(frame));
    } else {
      pollfd readable{kSocketFd, POLLIN, 0};
      poll(&readable, 1, -1);
    }
  }
}

[[noreturn]] void Fail(const std::string& text) {
  TextMessage message{};
  SetText(message.text, text);
  Tell(kFailed, BytesOf(message));
  std::_Exit(EXIT_FAILURE);  // no destructors: they would ask a GPU that is broken
}

// Comes before the options: a mediator of another release may have others.
void CheckRelease(int argc, char** argv) {
  const bool named = argc > 4 && std::string_view(argv[3]) == kReleaseOption;
  const std::string_view mediator = named ? argv[4] : "unknown";
  if (mediator == Release()) return;
  Fail(
      fmt::format("the mediator is of release {} and its vgpu-worker of {}: install both of one release, and "
                  "start the mediator again",
                  mediator, Release()));
}

}  // namespace

int EngineMain(int argc, char** argv) {
  // It must not outlive the mediator: nobody else would know what it still writes.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "vgpu-engine");
  base::bus_error_guard::Install();
  [[maybe_unused]] const auto guarded = base::missing_pages::Supported();  // the mediator has said so if not
  base::HideProcess();
  // From a terminal or a service manager these reach the mediator, too, which decides.
  for (const int sign : {SIGINT, SIGTERM, SIGHUP}) signal(sign, SIG_IGN);
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  CheckRelease(argc, argv);
  EngineOptions options;
  int parent = 0;
  std::string release;
  CLI::App app("an engine process of the vgpu-ring mediator; not for people");
  app.add_option(kEngineCommand, parent);
  app.add_option(kReleaseOption, release);
  app.add_option("--gpu", options.gpu);
  app.add_option("--driver", options.driver_library);
  app.add_option("--resident", options.resident);
  app.add_option("--idle-ms", options.idle_ms);
  app.add_option("--park-s", options.park_s);
  app.add_option("--start-ms", options.start_ms);
  app.add_option("--delay-ms", options.delay_ms);
  CLI11_PARSE(app, argc, argv);
  if (getppid() != parent) return EXIT_FAILURE;  // it died before prctl
  std::this_thread::sleep_for(std::chrono::milliseconds(options.delay_ms));
  Engine engine(options);
  {
    const Deadline deadline(std::chrono::milliseconds(options.start_ms), "to start");
    if (const auto opened = engine.Open(); !opened) Fail(opened.error());
    engine.TellReady();
  }
  std::thread control;
  try {
    control = std::thread([&] { engine.Control(); });
  } catch (const std::system_error& error) {
    Fail(fmt::format("cannot start a thread: {} (raise the limit of tasks: TasksMax=, pids.max, ulimit -u)",
                     error.code().message()));
  }
  Fail(engine.Explain(engine.Work()));
}

}  // namespace vgpu::engine
