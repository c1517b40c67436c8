//! Requests with a video as their body.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::{Body, Client, origin};
use crate::error::Error;
use crate::retry::Step;
use crate::video_file::{Reading, VideoFile};

/// Interval at which progress is reported.
const TICK: Duration = Duration::from_millis(100);

/// Maximum time in which nothing is sent, or after everything is sent, until the service responds:
/// it may have to complete a large object in its store first.
const STALL_TIMEOUT: Duration = Duration::from_mins(5);

impl Client {
    /// Send a request whose body reads a video, and report its progress.
    pub(crate) async fn send_video(
        &self,
        request: Request<Body>,
        video: &VideoFile,
        reading: &Reading,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<Response<Incoming>, Error> {
        let origin = origin(request.uri());
        let mut exchange = std::pin::pin!(self.exchange(request));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut changed) = (reading.position(), Instant::now());
        let response = loop {
            tokio::select! {
                response = &mut exchange => break response,
                _ = ticks.tick() => {
                    let now = reading.position();
                    if now != before {
                        (before, changed) = (now, Instant::now());
                        report(Step::Bytes(now, video.size));
                    } else if changed.elapsed() > STALL_TIMEOUT {
                        return Err(Error::Timeout { origin });
                    }
                }
            }
        };
        match reading.take_failure() {
            Some(error) => Err(Error::file(&video.path, error)),
            None => response,
        }
    }
}
