//! The honest user, who does what the page does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout};

use crate::client::User;

/// Steps of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Upload,
    Processing,
    Gallery,
    Download,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Upload, Self::Processing, Self::Gallery, Self::Download];

    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Processing => "processing",
            Self::Gallery => "gallery",
            Self::Download => "download",
        }
    }
}

/// Times of one video, in the order of [`Step::ALL`].
pub struct Round([Duration; 4]);

impl Round {
    pub fn time(&self, step: Step) -> Duration {
        self.0[step as usize]
    }
}

/// Upload a video, wait until it is processed, show its gallery, and download its archive.
pub async fn round(user: &User, clip: &Bytes) -> Result<Round> {
    /// Maximum time of a step.
    const TIMEOUT: Duration = Duration::from_mins(2);
    let mut times = Vec::new();
    let mut last = Instant::now();
    let mut finish_step = |times: &mut Vec<Duration>| {
        times.push(last.elapsed());
        last = Instant::now();
    };
    let job = timeout(TIMEOUT, user.upload("honest.mp4".to_owned(), clip)).await;
    let job = job.context("the upload took too long")?.context("the upload failed")?;
    finish_step(&mut times);
    timeout(TIMEOUT, wait_until_done(user, &job)).await.context("processing took too long")??;
    finish_step(&mut times);
    timeout(TIMEOUT, show_gallery(user, &job)).await.context("the gallery took too long")??;
    finish_step(&mut times);
    let archive = timeout(TIMEOUT, user.download(&job)).await;
    let archive = archive.context("the download took too long")?.context("the download failed")?;
    ensure!(archive.bytes == archive.stated_bytes, "the archive is incomplete");
    finish_step(&mut times);
    // Keeps the storage of the user, and the list of jobs, as small as it was.
    user.delete(&format!("/videos/{job}")).await.context("the deletion failed")?;
    let times = times.try_into().ok().context("a step is missing")?;
    Ok(Round(times))
}

async fn wait_until_done(user: &User, job: &str) -> Result<()> {
    let mut state = String::new();
    while !["DONE", "FAILED", "CANCELLED"].contains(&state.as_str()) {
        let watched = user.watch(job, |new| new.clone_into(&mut state)).await;
        watched.context("the job cannot be watched")?;
    }
    ensure!(state == "DONE", "the job is {state}");
    Ok(())
}

/// Fetch the list of frames, and all thumbnails, three at a time.
async fn show_gallery(user: &User, job: &str) -> Result<()> {
    const AT_ONCE: usize = 3;
    let list = user.get(&format!("/jobs/{job}/frames?limit=200")).await;
    let list = list.context("the frames cannot be listed")?;
    let frames = list["frames"].as_array().context("no list of frames")?;
    let thumbnails = frames.iter().map(|frame| {
        let path = format!("/jobs/{job}/frames/{}?width=320", frame["number"]);
        async move { user.fetch(&path).await }
    });
    let fetched = stream::iter(thumbnails).buffer_unordered(AT_ONCE);
    let sizes: Vec<usize> = fetched.try_collect().await.context("a thumbnail failed")?;
    ensure!(!sizes.is_empty() && !sizes.contains(&0), "thumbnails are missing");
    Ok(())
}
