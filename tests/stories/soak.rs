//! Processes and servers are killed, stopped, paused, cut off and run out of disk space at random
//! under load, on machines with different clocks; then every accepted video is audited.
//!
//! The story takes about a minute unless `SOAK_MINUTES` is set (`make soak`). `STORY_SEED` repeats
//! the sequence of incidents, though not their exact moments. Full disks need the right to mount
//! file systems, and are left out without it.

mod incident;
mod network;
mod report;
mod soaked_service;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::block_in_place;

use self::incident::Incidents;
use self::report::{Report, print_retries};
use self::soaked_service::SoakedService;
use crate::harness::checks::story_seed;
use crate::harness::client::Client;
use crate::harness::clips::{LONG, SHORT, TINY, WRONG, fixtures};
use crate::harness::cluster::{Cluster, Load, upload_until};
use crate::harness::isolation::{Own, can_mount_for_servers, has_own};

const NAME: &str = "soak::every_accepted_video_reaches_a_final_state_despite_random_faults";

/// Videos to upload, a few per second in total. Processing one of them takes seconds, so that
/// incidents interrupt it.
const LOAD: Load = Load {
    clips: &[SHORT, WRONG, TINY, SHORT, LONG, TINY, SHORT, TINY, SHORT, TINY],
    pause: Duration::from_millis(1200),
};

/// Duration of all incidents of the brief story, and the longest of one of them in seconds.
const BRIEF: (Duration, f64) = (Duration::from_secs(40), 5.0);

/// Largest error of a clock in seconds.
const CLOCK_ERROR: i64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_video_reaches_a_final_state_despite_random_faults() {
    let disks = block_in_place(can_mount_for_servers);
    if !disks {
        println!("NOT COVERED: full disks, because this user may not mount file systems");
    } else if !block_in_place(|| has_own(Own::Mounts, NAME)) {
        return;
    }
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes = minutes.map(|text| text.parse().expect("SOAK_MINUTES is a whole number"));
    let (lasting, longest) =
        minutes.map_or(BRIEF, |minutes| (Duration::from_mins(minutes), f64::INFINITY));
    let mut random = StdRng::seed_from_u64(story_seed());
    let mut incidents = Incidents::new(disks, longest);

    block_in_place(fixtures);
    let mut service = SoakedService::start(Cluster::for_soak(disks).await);
    let account = service.processes[0].user().await.account();
    let clients = service.addresses.each_ref().map(|address| Client::of(address));
    let (stop, started) = (AtomicBool::new(false), Instant::now());
    let apis = clients.each_ref();
    let (sent, report) = tokio::join!(upload_until(&apis, &account, &LOAD, &stop), async {
        let mut report = Report::default();
        while started.elapsed() < lasting {
            let incident = incidents.next(&mut random);
            println!("{:6.1} s: {incident:?}", started.elapsed().as_secs_f64());
            let clock_error = random.random_range(-CLOCK_ERROR..=CLOCK_ERROR);
            block_in_place(|| service.cause(incident, clock_error));
            report.add(&incident);
            // Incidents happen at any moment of the work; nothing depends on the pause.
            tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.0..3.0))).await;
        }
        stop.store(true, Ordering::Relaxed);
        report
    });
    block_in_place(|| service.supervise());
    report.print();
    let lasted = started.elapsed();
    let accepted = sent.iter().filter(|sent| sent.accepted.is_some()).count();
    println!("{accepted} of {} uploads accepted in {:.0} s", sent.len(), lasted.as_secs_f64());
    println!("{} servers ended by themselves", service.ended_servers);
    let SoakedService { cluster, processes, .. } = service;
    for job in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        account.at(&processes[0]).wait_for(job, &["DONE", "FAILED"]).await;
    }
    println!("all jobs finished after {:.0} s", started.elapsed().as_secs_f64());
    block_in_place(|| print_retries(&cluster));
    for process in processes {
        block_in_place(|| process.terminate());
    }
    let audit = cluster.audit(&account, &sent).await;
    println!("{audit:?} after {:.0} s", started.elapsed().as_secs_f64());
    assert!(accepted > 0 && audit.jobs >= accepted, "{audit:?}");
    assert_eq!(audit.lost, 0, "jobs failed although their videos are good");
}
