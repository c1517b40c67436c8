//! The run: starts each upload at its scheduled time, and checks at the end that no job is missing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::client::{RequestError, User};
use crate::upload::{Clip, Upload, UploadResult, UploadTask};

/// Maximum time for listing the jobs of one user at the end.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Results of a run.
pub struct RunResults {
    /// All uploads, by name.
    pub uploads: Vec<Upload>,
    /// Time of each request for the newest jobs, from its scheduled time to the response.
    pub listings: Vec<Result<Duration, RequestError>>,
    /// Number of jobs whose upload got no response.
    pub jobs_without_response: usize,
    /// Number of jobs that this run did not upload.
    pub unknown_jobs: usize,
    /// Duration of the run.
    pub duration: Duration,
}

/// A run: users that upload clips in turns.
pub struct Run {
    pub users: Vec<Arc<User>>,
    pub clips: Vec<Clip>,
}

impl Run {
    /// Upload at the scheduled times, wait up to `drain` after `duration` until everything is
    /// finished, and compare the uploads with the jobs of all users.
    pub async fn execute(
        self,
        schedule: &[Duration],
        duration: Duration,
        drain: Duration,
    ) -> RunResults {
        let run_start = Instant::now();
        let deadline = run_start + duration + drain;
        let clips = Arc::new(self.clips);
        let (mut uploads, mut listings) = (JoinSet::new(), JoinSet::new());
        for (number, time) in schedule.iter().enumerate() {
            let (scheduled, user) = (run_start + *time, &self.users[number % self.users.len()]);
            sleep_until(scheduled).await;
            let task = UploadTask {
                user: Arc::clone(user),
                clips: Arc::clone(&clips),
                number,
                run_start,
                scheduled,
                deadline,
            };
            uploads.spawn(task.run());
            listings.spawn(list(Arc::clone(user), scheduled, deadline));
        }
        let mut uploads = uploads.join_all().await;
        uploads.sort_by(|one, other| one.name.cmp(&other.name));
        let mut results = RunResults {
            uploads,
            listings: listings.join_all().await,
            jobs_without_response: 0,
            unknown_jobs: 0,
            duration: run_start.elapsed(),
        };
        results.compare_with_jobs(&self.users).await;
        results
    }
}

/// Request the newest jobs of a user and return the time since `scheduled`.
async fn list(
    user: Arc<User>,
    scheduled: Instant,
    deadline: Instant,
) -> Result<Duration, RequestError> {
    let response = timeout_at(deadline, user.get("/videos")).await;
    response
        .unwrap_or_else(|_| Err(RequestError::NoResponse("timeout".to_owned())))
        .map(|_| scheduled.elapsed())
}

impl RunResults {
    /// Look for the job of each upload in the lists of all users.
    async fn compare_with_jobs(&mut self, users: &[Arc<User>]) {
        let mut listed = HashMap::new();
        for user in users {
            let error = match timeout(LIST_TIMEOUT, user.jobs()).await {
                Ok(Ok(jobs)) => {
                    listed.extend(jobs.into_iter().map(|job| (job.id, job.filename)));
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "timeout".to_owned(),
            };
            eprintln!("load: cannot list the jobs at the end: {error}");
            return;
        }
        for upload in &mut self.uploads {
            if let Some(job) = &upload.job
                && listed.remove(job).is_none()
            {
                upload.result = UploadResult::Lost("is not in the list of its user".to_owned());
            }
        }
        let without_response: HashSet<&str> = self
            .uploads
            .iter()
            .filter(|upload| upload.result == UploadResult::NoResponse)
            .map(|upload| upload.name.as_str())
            .collect();
        let (expected, unknown): (Vec<_>, Vec<_>) =
            listed.values().partition(|name| without_response.contains(name.as_str()));
        (self.jobs_without_response, self.unknown_jobs) = (expected.len(), unknown.len());
    }
}
