// The threads a kernel may use, and how work is shared among them.
#pragma once

#include <cstddef>

namespace nacre {

// A kernel cuts its work into tasks that do not depend on each other. What a task computes must not
// depend on the thread that runs it: then the result has the same bits from run to run.
class Workers {
 public:
  virtual int count() const = 0;

  // Calls body(context, task) for each task and returns when all are done.
  virtual void run(long tasks, void (*body)(void*, long), void* context) = 0;

 protected:
  ~Workers() = default;
};

template <class Body>
void for_each_task(Workers& workers, long tasks, const Body& body) {
  workers.run(
      tasks, [](void* context, long task) { (*static_cast<const Body*>(context))(task); },
      const_cast<Body*>(&body));
}

// Memory that a thread keeps from task to task and from call to call, aligned to a page. What is in
// it is lost at the next request for the same slot. A thread keeps at most `kept_bytes` a slot.
constexpr int scratch_slots = 9;
constexpr std::size_t kept_bytes = 9 << 20;
float* scratch(int slot, std::size_t floats);

}  // namespace nacre
