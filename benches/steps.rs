//! Each step of the engine alone, on one thread.

use std::io;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use frames::stages::{Clip, archive};
use jobs::manifest::Compression;

fn steps(criterion: &mut Criterion) {
    for (name, path) in benches::all() {
        let clip =
            Clip::load(std::fs::read(path).expect("the clip is there")).expect("the clip is whole");
        let plans = clip.plan();
        let pictures = clip.decode(&plans).expect("the clip decodes");
        let converted = clip.convert(&pictures).expect("the pictures convert");
        let files = converted.encode(Compression::Fast).expect("the pictures encode");
        let count = Throughput::Elements(pictures.count() as u64);

        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(count.clone());
        group.bench_function("select", |bencher| bencher.iter(|| clip.select()));
        group.bench_function("decode", |bencher| {
            bencher.iter_batched(
                || (),
                |()| clip.decode(&plans).expect("the clip decodes"),
                BatchSize::PerIteration,
            );
        });
        group.throughput(Throughput::Bytes(converted.bytes() as u64));
        group.bench_function("convert", |bencher| {
            bencher.iter_batched(
                || (),
                |()| clip.convert(&pictures).expect("the pictures convert"),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("png", |bencher| bencher.iter(|| converted.encode(Compression::Fast)));
        group.throughput(Throughput::Bytes(files.iter().map(|file| file.len() as u64).sum()));
        let files: Vec<_> = files.iter().enumerate().collect();
        group.bench_function("zip", |bencher| bencher.iter(|| archive(&files, io::sink())));
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
