//! Threads for work that occupies a core for some time. Async tasks on the same thread would wait
//! for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Priority of threads on a machine whose cores are all in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// That of the process.
    Normal,
    /// A third of the time of a normal thread (nice value 5, sched(7)).
    Low,
}

/// Reason for which work has no result.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// Too much other work waits. It was not begun.
    #[error("too much other work waits")]
    Busy,
    /// A bug.
    #[error("the work panicked")]
    Panicked,
}

type Task = Box<dyn FnOnce() + Send>;

/// Threads that share a queue.
#[derive(Debug)]
pub struct WorkThreads {
    queue: SyncSender<Task>,
}

impl WorkThreads {
    /// Start so many threads, with a queue of `waiting` pieces of work.
    pub fn new(threads: usize, waiting: usize, priority: Priority) -> Self {
        /// Nice value relative to that of the process.
        const LOW: i32 = 5;
        let (queue, tasks) = sync_channel::<Task>(waiting);
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..threads {
            let tasks = Arc::clone(&tasks);
            std::thread::spawn(move || {
                if priority == Priority::Low {
                    // On Linux, of this thread only. If it is refused, the work is as urgent as
                    // everything else.
                    let _ = rustix::process::nice(LOW);
                }
                // The lock is not held while the task runs.
                while let Some(task) = { tasks.lock().recv().ok() } {
                    task();
                }
            });
        }
        Self { queue }
    }

    /// Run work as soon as a thread is free. If the future is dropped before, the work is not
    /// begun; later, it occupies its thread until it ends.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (sender, result) = oneshot::channel();
        let task = move || {
            // A panic ends the request, not the thread.
            if !sender.is_closed()
                && let Ok(done) = catch_unwind(AssertUnwindSafe(work))
            {
                let _ = sender.send(done);
            }
        };
        self.queue.try_send(Box::new(task)).map_err(|_| NotDone::Busy)?;
        result.await.map_err(|_| NotDone::Panicked)
    }
}
