//! Tests of the rules: progress, order, and displacement.

use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

fn budget(size: usize) -> Budget {
    Budget::new("tests", size, true)
}

/// An upload that requests memory without waiting.
struct Producer {
    allowance: Allowance,
    part: usize,
    reserved: usize,
    request: Option<oneshot::Receiver<usize>>,
}

impl Producer {
    fn start(budget: &Budget, user: UserId, part: usize) -> Self {
        Self { allowance: budget.start(user), part, reserved: 0, request: None }
    }

    /// Take memory that was granted. Return whether the producer waits for memory.
    fn is_waiting(&mut self) -> bool {
        let Some(request) = &mut self.request else { return false };
        if let Ok(bytes) = request.try_recv() {
            self.reserved += bytes;
            self.request = None;
        }
        self.request.is_some()
    }

    /// Request memory unless the producer waits for it or its part is full.
    fn ask(&mut self) {
        if !self.is_waiting() && self.reserved < self.part {
            let request = self.allowance.request(self.reserved, self.part - self.reserved);
            self.request = Some(request.expect("the upload is in progress"));
        }
        self.is_waiting();
    }

    fn send_if_full(&mut self) -> Option<Reservation> {
        (self.reserved == self.part).then(|| {
            self.reserved = 0;
            self.allowance.finish_part(self.part)
        })
    }
}

#[test]
fn memory_is_reserved_in_steps_until_little_is_left() {
    let budget = budget(LAST + MIB);
    let users = [UserId::generate(), UserId::generate()];
    let mut first = Producer::start(&budget, users[0], part_size::MIN);
    for step in 1..=MIB / STEP {
        first.ask();
        assert_eq!((first.reserved, budget.free()), (step * STEP, LAST + MIB - step * STEP));
    }
    let mut second = Producer::start(&budget, users[1], part_size::MIN);
    second.ask();
    assert_eq!(second.reserved, part_size::MIN, "the whole part at once");
    first.ask();
    assert_eq!(first.reserved, part_size::MIN, "the whole rest at once");
    let sent = [first.send_if_full(), second.send_if_full()];
    assert_eq!(budget.free(), LAST + MIB - 2 * part_size::MIN);
    drop((first, second));
    assert_eq!(budget.free(), LAST + MIB - 2 * part_size::MIN, "parts are being sent");
    drop(sent);
    assert_eq!(budget.free(), LAST + MIB);
}

#[test]
fn the_user_with_the_least_memory_is_served_first() {
    let budget = budget(LAST);
    let (greedy, modest) = (UserId::generate(), UserId::generate());
    let mut holders: Vec<Producer> =
        (0..12).map(|_| Producer::start(&budget, greedy, part_size::MIN)).collect();
    holders.iter_mut().for_each(Producer::ask);
    assert_eq!(budget.free(), 4 * MIB);
    let mut waiting = [greedy, greedy, modest].map(|user| {
        let mut producer = Producer::start(&budget, user, part_size::MIN);
        producer.ask();
        producer
    });
    assert_eq!(budget.waiting(), 3);
    drop(holders.pop());
    assert_eq!(waiting.each_mut().map(Producer::is_waiting), [true, true, false]);
    drop(holders.pop());
    assert_eq!(waiting.each_mut().map(Producer::is_waiting), [false, true, false]);
}

#[test]
fn an_upload_that_ends_while_it_waits_leaves_nothing() {
    let budget = budget(LAST);
    let user = UserId::generate();
    let mut holder = Producer::start(&budget, user, LAST);
    holder.ask();
    let mut waiting = Producer::start(&budget, user, part_size::MIN);
    waiting.ask();
    assert_eq!((budget.free(), budget.waiting()), (0, 1));
    drop(waiting);
    assert_eq!((budget.free(), budget.waiting()), (0, 0));
    drop(holder);
    assert_eq!(budget.free(), LAST);
}

/// Let producers with this rate hold all memory while another one waits. Return the number of
/// uploads that are displaced for it.
fn displaced(displaces: bool, rate: f64, waiting_rate: f64, same_user: bool) -> usize {
    let budget = Budget::new("tests", LAST, displaces);
    let (user, other) = (UserId::generate(), UserId::generate());
    let set_rate = |number: u64, rate: f64| {
        let mut state = budget.shared.state.lock();
        let pace = &mut state.uploads.get_mut(&number).expect("it is in progress").pace;
        let now = Instant::now();
        pace.start_waiting(now);
        pace.stop_waiting(now + Duration::from_secs_f64(MIB as f64 / rate));
        pace.finish_part(MIB);
    };
    let mut holders: Vec<Producer> =
        (0..12).map(|_| Producer::start(&budget, user, part_size::MIN)).collect();
    for holder in &mut holders {
        holder.ask();
        set_rate(holder.allowance.number, rate);
    }
    let waiting_user = if same_user { user } else { other };
    let mut waiting = Producer::start(&budget, waiting_user, part_size::MIN);
    set_rate(waiting.allowance.number, waiting_rate);
    waiting.ask();
    assert!(waiting.is_waiting());
    budget.shared.displace(waiting.allowance.number);
    let is_displaced = |holder: &&Producer| holder.allowance.buffer().lock().is_none();
    let count = holders.iter().filter(is_displaced).count();
    assert_eq!(waiting.is_waiting(), count == 0, "the memory goes to the upload that waited");
    for holder in holders.iter().filter(is_displaced) {
        assert!(holder.allowance.request(0, STEP).is_err(), "the displaced upload fails");
    }
    count
}

#[test]
fn only_a_slow_upload_of_another_user_is_displaced_for_a_faster_one() {
    const RATE: f64 = 100_000.0;
    assert_eq!(displaced(true, RATE, 10.0 * RATE, false), 1);
    assert_eq!(displaced(true, RATE, 3.0 * RATE, false), 0, "it is hardly faster");
    assert_eq!(displaced(true, 1e6, 1e9, false), 0, "none is slow");
    assert_eq!(displaced(true, RATE, 10.0 * RATE, true), 0, "its user has all the memory");
    assert_eq!(displaced(false, RATE, 10.0 * RATE, false), 0, "archives are never displaced");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the order of events, every upload makes progress, and no more memory is reserved
    /// than there is.
    #[test]
    fn every_upload_makes_progress(
        size in LAST..=2 * LAST,
        parts in prop::collection::vec((0_usize..4, prop::sample::select(vec![
            part_size::MIN, 2 * part_size::MIN, 8 * part_size::MIN, LAST,
        ])), 1..20),
        events in prop::collection::vec((0_usize..20, any::<bool>()), 0..1000),
    ) {
        let budget = budget(size);
        let users: Vec<UserId> = (0..4).map(|_| UserId::generate()).collect();
        let start = |(user, part): &(usize, usize)| Producer::start(&budget, users[*user], *part);
        let mut uploads: Vec<Producer> = parts.iter().map(start).collect();
        let mut sent: Vec<Reservation> = Vec::new();
        for (number, is_received) in events {
            let count = uploads.len();
            uploads[number % count].ask();
            sent.extend(uploads[number % count].send_if_full());
            if is_received {
                sent.pop();
            }
            prop_assert!(budget.free() <= size);
        }
        // From now on the store and all producers are fast.
        let mut finished = vec![0; uploads.len()];
        for round in 0.. {
            sent.clear();
            for _ in 0..part_size::MIN / STEP {
                uploads.iter_mut().for_each(Producer::ask);
            }
            for (upload, finished) in uploads.iter_mut().zip(&mut finished) {
                let full = upload.send_if_full();
                *finished += usize::from(full.is_some());
                sent.extend(full);
            }
            if finished.iter().all(|parts| *parts >= 2) {
                break;
            }
            prop_assert!(round < 10_000, "no progress: {finished:?}");
        }
        drop((uploads, sent));
        prop_assert_eq!(budget.free(), size);
    }
}
