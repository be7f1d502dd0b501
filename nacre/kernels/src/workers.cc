#include "workers.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "pages.h"
#include "pool.h"

namespace nacre {
namespace {

std::atomic<int> thread_limit{0};  // 0: as many as the pool has

// Each participant begins with a range of neighbouring tasks of its own, and then takes what is left
// of the others'. Where one call follows another, a core so finds its part of the numbers in its
// own cache, and memory is read in order.
class Shared {
 public:
  explicit Shared(long most_participants) : ranges_(most_participants) {}

  long room() const { return static_cast<long>(ranges_.size()); }

  void begin(long participants, long tasks, void (*body)(void*, long), void* context) {
    participants_ = participants;
    tasks_ = tasks;
    body_ = body;
    context_ = context;
    arrived_ = 0;
    done_ = 0;
    for (long p = 0; p < participants; ++p) {
      ranges_[p].next = p * tasks / participants;
      ranges_[p].end = (p + 1) * tasks / participants;
    }
  }

  void take_tasks() {
    const long own = arrived_.fetch_add(1, std::memory_order_relaxed);
    for (long p = 0; p < participants_; ++p) {
      Range& range = ranges_[(own + p) % participants_];
      for (long task; (task = range.next.fetch_add(1, std::memory_order_relaxed)) < range.end;) {
        body_(context_, task);
        done_.fetch_add(1, std::memory_order_release);
      }
    }
  }

  bool all_done() const { return done_.load(std::memory_order_acquire) == tasks_; }

 private:
  struct alignas(64) Range {
    std::atomic<long> next;
    long end;
  };

  std::vector<Range> ranges_;
  std::atomic<long> arrived_, done_;
  long participants_, tasks_;
  void (*body_)(void*, long);
  void* context_;
};

// One that no helper still holds. They are kept from call to call: memory taken and given back in
// every call, by different threads, would lie between large results, and glibc could not reuse these.
std::shared_ptr<Shared> unused(long participants) {
  static thread_local std::vector<std::shared_ptr<Shared>> kept;
  for (const auto& shared : kept) {
    if (shared.use_count() == 1 && shared->room() >= participants) {
      std::atomic_thread_fence(std::memory_order_acquire);  // what helpers read, they have read
      return shared;
    }
  }
  kept.push_back(std::make_shared<Shared>(participants));
  return kept.back();
}

struct Scratch {
  void* memory[scratch_slots] = {};
  std::size_t bytes[scratch_slots] = {};

  ~Scratch() {
    for (void* block : memory) std::free(block);
  }
};

}  // namespace

void limit_threads(int count) { thread_limit.store(count < 0 ? 0 : count); }

int Pool::count() const {
  const int limit = thread_limit.load(std::memory_order_relaxed);
  const int threads = static_cast<int>(pool_.num_threads());
  return threads < 1 ? 1 : limit && limit < threads ? limit : threads;
}

// The calling thread takes tasks like the others, and at the end waits for tasks that were begun,
// never for threads: a pool whose threads are all busy delays nothing, and nothing can deadlock.
// A helper that comes late finds no task left, and does not touch the caller's context.
void Pool::run(long tasks, void (*body)(void*, long), void* context) {
  const long helpers = (tasks < count() ? tasks : count()) - 1;
  if (helpers < 1) {
    for (long task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  const std::shared_ptr<Shared> shared = unused(helpers + 1);
  shared->begin(helpers + 1, tasks, body, context);
  for (long helper = 0; helper < helpers; ++helper) {
    pool_.Schedule([shared] { shared->take_tasks(); });
  }
  shared->take_tasks();
  for (int spins = 0; !shared->all_done(); ++spins) {
    if (spins > 1000) std::this_thread::yield();
  }
}

float* scratch(int slot, std::size_t floats) {
  static thread_local Scratch own;
  constexpr std::size_t page = 4096;
  const std::size_t needed = (floats * sizeof(float) + page - 1) / page * page;
  const bool too_much_kept = own.bytes[slot] > kept_bytes && needed <= kept_bytes;
  if (own.bytes[slot] < needed || too_much_kept) {
    std::free(own.memory[slot]);
    own.bytes[slot] = 0;
    own.memory[slot] = std::aligned_alloc(page, needed);
    if (!own.memory[slot]) throw std::bad_alloc();
    prefer_large_pages(own.memory[slot], needed);
    own.bytes[slot] = needed;
  }
  return static_cast<float*>(own.memory[slot]);
}

}  // namespace nacre
