//! A whole extraction, from video bytes to archive bytes, next to its lower bound: bare decoders of
//! the same packets.

use std::fs::File;
use std::num::NonZeroUsize;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frames::Options;
use frames::stages::Clip;

fn pipeline(criterion: &mut Criterion) {
    let cores = Options::default().threads;
    for (name, path) in benches::all() {
        let clip =
            Clip::load(std::fs::read(&path).expect("the clip exists")).expect("a valid clip");
        let plans = clip.plan();
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(u64::from(benches::SECONDS)));
        group.bench_function("floor", |bencher| {
            bencher.iter(|| clip.floor(&plans).expect("the clip is decodable"));
        });
        for threads in [NonZeroUsize::MIN, cores] {
            let options = Options { threads, ..Options::default() };
            group.bench_function(format!("extract, threads: {threads}"), |bencher| {
                bencher.iter(|| {
                    let video = File::open(&path).expect("the clip exists");
                    frames::extract(video, std::io::sink(), &options, |_| {}).expect("a valid clip")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
