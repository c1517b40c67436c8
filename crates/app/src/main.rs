use std::fs::File;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut o = frames::Options::default();
    if let Ok(t) = std::env::var("T") { o.threads = t.parse().unwrap(); }
    if std::env::var("LINEAR").is_ok() { o.decoding = frames::Decoding::Linear; }
    let r = frames::extract(File::open(&a[1]).unwrap(), std::io::BufWriter::new(File::create(&a[2]).unwrap()), &o, |_| {});
    match r { Ok(r) => println!("{}", serde_json::to_string(&r).unwrap()), Err(e) => { println!("{} {e}", e.code()); std::process::exit(1) } }
}
