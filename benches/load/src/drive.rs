//! The run: each upload begins at its moment, and is followed to its end.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use reqwest::StatusCode;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::archive;
use crate::client::{Trouble, User};

/// A video to send.
pub struct Clip {
    name: String,
    bytes: Bytes,
    fails: bool,
}

impl Clip {
    /// Read it, and note whether it has to fail.
    pub fn read(path: &Path, fails: bool) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into();
        let name = path
            .file_name()
            .with_context(|| format!("{} is no file", path.display()))?
            .to_string_lossy()
            .into_owned();
        Ok(Self { name, bytes, fails })
    }
}

/// What has become of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The service said no, with this status and code.
    Refused(StatusCode, String),
    /// No answer came.
    Unanswered(String),
    /// There is an archive, and it was fetched and is right.
    Done,
    /// There is an archive; it could not be fetched in time, because downloads were refused.
    DoneUnfetched,
    /// It failed, as it had to.
    Failed,
    /// It was accepted and did not come to its end in time, or is gone.
    Lost(String),
    /// It came to another end than it had to, or its archive is not the one that was promised.
    Wrong(String),
}

/// One upload, and when what happened to it happened.
pub struct Upload {
    /// The name that it was sent under, which is its alone.
    pub name: String,
    /// Bytes of the video.
    pub size: u64,
    /// Which job it became.
    pub job: Option<String>,
    /// What has become of it.
    pub fate: Fate,
    /// From the planned moment to the 202.
    pub accepting: Option<Duration>,
    /// From the 202 to DONE.
    pub waiting: Option<Duration>,
    /// From asking for the link to the archive's last byte.
    pub fetching: Option<Duration>,
    /// Bytes of the archive that was fetched.
    pub fetched: u64,
    /// Times that fetching was refused before it was done, by status.
    pub fetches_refused: Vec<StatusCode>,
    /// When the 202 came, from the start of the run.
    pub accepted_at: Option<Duration>,
    /// When it was done, from the start of the run.
    pub done_at: Option<Duration>,
}

/// What happened in a run.
pub struct Outcome {
    /// All uploads.
    pub uploads: Vec<Upload>,
    /// From the planned moment to the list of the user's newest jobs, or what came instead.
    pub listings: Vec<Result<Duration, Trouble>>,
    /// Jobs that exist although the answer to their upload did not come.
    pub unheard: usize,
    /// Jobs that nobody sent.
    pub unknown: usize,
    /// How long everything took.
    pub took: Duration,
}

/// Users and what they send.
pub struct Drive {
    /// Who takes turns.
    pub users: Vec<Arc<User>>,
    /// What is sent in turns.
    pub clips: Vec<Clip>,
}

impl Drive {
    /// Send at these moments, give everything as long as `drain` after `seconds`, and look for
    /// every job at the end.
    pub async fn run(self, plan: &[Duration], seconds: Duration, drain: Duration) -> Outcome {
        let start = Instant::now();
        let deadline = start + seconds + drain;
        let (clips, mut uploads, mut listings) =
            (Arc::new(self.clips), JoinSet::new(), JoinSet::new());
        for (number, moment) in plan.iter().enumerate() {
            let (planned, user) = (start + *moment, &self.users[number % self.users.len()]);
            sleep_until(planned).await;
            let way = Way {
                user: Arc::clone(user),
                clips: Arc::clone(&clips),
                number,
                start,
                planned,
                deadline,
            };
            uploads.spawn(way.follow());
            let user = Arc::clone(user);
            listings.spawn(async move {
                let listed = timeout_at(deadline, user.get("/videos")).await;
                listed
                    .unwrap_or_else(|_| Err(Trouble::Unanswered("no answer in time".to_owned())))
                    .map(|_| planned.elapsed())
            });
        }
        let mut uploads = uploads.join_all().await;
        uploads.sort_by(|one, other| one.name.cmp(&other.name));
        let mut outcome = Outcome {
            uploads,
            listings: listings.join_all().await,
            unheard: 0,
            unknown: 0,
            took: start.elapsed(),
        };
        outcome.look(&self.users).await;
        outcome
    }
}

impl Outcome {
    /// Look for every job in the lists of all users.
    async fn look(&mut self, users: &[Arc<User>]) {
        /// For a service that does not answer any more.
        const PATIENCE: Duration = Duration::from_secs(30);
        let mut listed = HashMap::new();
        for user in users {
            match timeout(PATIENCE, user.jobs()).await {
                Ok(Ok(jobs)) => listed.extend(jobs),
                failed => {
                    let why = failed.map_or_else(
                        |_| "no answer".to_owned(),
                        |failed| format!("{:?}", failed.err()),
                    );
                    return eprintln!("load: the jobs could not be listed at the end: {why}");
                }
            }
        }
        for upload in &mut self.uploads {
            match &upload.job {
                Some(job) if listed.remove(job).is_none() => {
                    upload.fate = Fate::Lost("is not in its user's list".to_owned());
                }
                _ => {}
            }
        }
        let silent =
            self.uploads.iter().filter(|upload| matches!(upload.fate, Fate::Unanswered(_)));
        let silent: HashSet<&str> = silent.map(|upload| upload.name.as_str()).collect();
        let (unheard, unknown): (Vec<_>, Vec<_>) =
            listed.values().partition(|name| silent.contains(name.as_str()));
        (self.unheard, self.unknown) = (unheard.len(), unknown.len());
    }
}

/// The way of one upload.
struct Way {
    user: Arc<User>,
    clips: Arc<Vec<Clip>>,
    number: usize,
    start: Instant,
    planned: Instant,
    deadline: Instant,
}

impl Way {
    async fn follow(self) -> Upload {
        let clip = &self.clips[self.number % self.clips.len()];
        let name = format!("{:07}-{}", self.number, clip.name);
        let mut upload = Upload {
            name: name.clone(),
            size: clip.bytes.len() as u64,
            job: None,
            fate: Fate::Unanswered("no answer in time".to_owned()),
            accepting: None,
            waiting: None,
            fetching: None,
            fetched: 0,
            fetches_refused: Vec::new(),
            accepted_at: None,
            done_at: None,
        };
        match timeout_at(self.deadline, self.user.upload(name, &clip.bytes)).await {
            Err(_) => return upload,
            Ok(Err(Trouble::Unanswered(why))) => upload.fate = Fate::Unanswered(why),
            Ok(Err(Trouble::Refused(status, code, _))) => upload.fate = Fate::Refused(status, code),
            Ok(Ok(job)) => {
                (upload.accepting, upload.accepted_at) =
                    (Some(self.planned.elapsed()), Some(self.start.elapsed()));
                upload.fate = self.end_of(&job, clip, &mut upload).await;
                upload.job = Some(job);
            }
        }
        upload
    }

    /// Follow an accepted job to its end.
    async fn end_of(&self, job: &str, clip: &Clip, upload: &mut Upload) -> Fate {
        let (accepted, last) = (Instant::now(), Mutex::new("nothing was heard of it".to_owned()));
        let Ok(status) = timeout_at(self.deadline, self.last_state(job, &last)).await else {
            return Fate::Lost(format!(
                "is not over in time: {}",
                last.into_inner().unwrap_or_else(PoisonError::into_inner)
            ));
        };
        match status.as_deref() {
            Ok("DONE") if !clip.fails => {
                (upload.waiting, upload.done_at) =
                    (Some(accepted.elapsed()), Some(self.start.elapsed()));
                timeout_at(self.deadline, self.fetch(job, upload))
                    .await
                    .unwrap_or(Fate::DoneUnfetched)
            }
            Ok("FAILED") if clip.fails => Fate::Failed,
            Ok(status) => Fate::Wrong(format!("is {status}")),
            Err(trouble) => Fate::Lost(format!("cannot be watched: {trouble:?}")),
        }
    }

    /// Watch a job until it is over, again and again if the stream breaks off, and note what was
    /// last heard.
    async fn last_state(&self, job: &str, last: &Mutex<String>) -> Result<String, Trouble> {
        /// Between two streams of one job, so that a service which ends them is not flooded.
        const PAUSE: Duration = Duration::from_millis(200);
        let note = |said: String| *last.lock().unwrap_or_else(PoisonError::into_inner) = said;
        loop {
            let mut state = String::new();
            let watched = self.user.watch(job, |told| {
                told.clone_into(&mut state);
                note(format!("it was last {told}"));
            });
            match watched.await {
                Err(trouble) if !trouble.passes() => return Err(trouble),
                _ if ["DONE", "FAILED", "CANCELLED", "EXPIRED"].contains(&state.as_str()) => {
                    return Ok(state);
                }
                Err(trouble) => {
                    note(format!("{trouble:?}"));
                    trouble.pass().await;
                }
                Ok(()) => sleep(PAUSE).await,
            }
        }
    }

    /// Fetch the archive and hold it against what the service says of it.
    async fn fetch(&self, job: &str, upload: &mut Upload) -> Fate {
        let (file, promised, size) = loop {
            let begun = Instant::now();
            match self.user.fetch(job).await {
                Ok(fetched) => {
                    upload.fetching = Some(begun.elapsed());
                    break fetched;
                }
                Err(trouble) if trouble.passes() => {
                    if let Trouble::Refused(status, ..) = trouble {
                        upload.fetches_refused.push(status);
                    }
                    trouble.pass().await;
                }
                Err(trouble) => {
                    return Fate::Wrong(format!("its archive cannot be fetched: {trouble:?}"));
                }
            }
        };
        upload.fetched = size;
        let view = loop {
            match self.user.get(&format!("/videos/{job}")).await {
                Ok(view) => break view,
                Err(trouble) if trouble.passes() => trouble.pass().await,
                Err(trouble) => return Fate::Wrong(format!("cannot be looked at: {trouble:?}")),
            }
        };
        if size != promised || view["zip_size_bytes"] != size {
            return Fate::Wrong(format!(
                "its archive has {size} bytes, {promised} by its link and {} by its job",
                view["zip_size_bytes"]
            ));
        }
        match spawn_blocking(|| archive::pictures(file))
            .await
            .unwrap_or_else(|stopped| Err(stopped.to_string()))
        {
            Ok(pictures) if view["frame_count"] == pictures => Fate::Done,
            Ok(pictures) => Fate::Wrong(format!(
                "its archive holds {pictures} pictures, {} by its job",
                view["frame_count"]
            )),
            Err(wrong) => Fate::Wrong(wrong),
        }
    }
}
