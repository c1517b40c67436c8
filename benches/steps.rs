//! Each step of the engine by itself, on one thread.

use std::io;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use frames::stages::{Clip, archive};
use jobs::recipe::{Image, ImageFormat};

fn steps(criterion: &mut Criterion) {
    for (name, path) in benches::all() {
        let clip =
            Clip::load(std::fs::read(&path).expect("the clip exists")).expect("a valid clip");
        let plans = clip.plan();
        let frames = clip.decode(&plans).expect("the clip is decodable");
        let converted = clip.convert(&frames).expect("the frames are convertible");
        let files = clip.encode(&converted).expect("the frames are encodable");

        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(frames.count() as u64));
        group.bench_function("select", |bencher| bencher.iter(|| clip.select()));
        group.bench_function("decode", |bencher| {
            bencher.iter_batched(
                || (),
                |()| clip.decode(&plans).expect("the clip is decodable"),
                BatchSize::PerIteration,
            );
        });
        group.throughput(Throughput::Bytes(converted.bytes() as u64));
        group.bench_function("convert", |bencher| {
            bencher.iter_batched(
                || (),
                |()| clip.convert(&frames).expect("the frames are convertible"),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("png", |bencher| bencher.iter(|| clip.encode(&converted)));
        for format in [ImageFormat::Jpeg, ImageFormat::Webp] {
            let image = Image::new(format, None).expect("every format has a default quality");
            let clip = Clip::load(std::fs::read(&path).expect("the clip exists"));
            let clip = clip.and_then(|clip| clip.with_image(image)).expect("a valid clip");
            let converted = clip.convert(&frames).expect("the frames are convertible");
            group.bench_function(format.name(), |bencher| {
                bencher.iter(|| clip.encode(&converted));
            });
        }
        group.throughput(Throughput::Bytes(files.iter().map(|file| file.len() as u64).sum()));
        let files: Vec<_> = files.iter().enumerate().collect();
        group.bench_function("zip", |bencher| bencher.iter(|| archive(&files, io::sink())));
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
