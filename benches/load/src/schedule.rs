//! Schedule of the uploads. It is fixed before the first upload, so the service cannot affect it.

use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Distribution of the uploads over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// A Poisson process, like uploads of many independent users.
    Poisson,
    /// Constant intervals.
    Fixed,
}

/// Return the start times of the uploads, relative to the start of the run. `rate` is the mean
/// number of uploads per second.
pub fn schedule(arrivals: Arrivals, rate: f64, duration: Duration, seed: u64) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut times, mut time) = (Vec::new(), 0.0);
    while time < duration.as_secs_f64() {
        times.push(Duration::from_secs_f64(time));
        time += match arrivals {
            // Intervals of a Poisson process have an exponential distribution; this is the inverse
            // of its distribution function.
            Arrivals::Poisson => -(1.0 - random.random_range(0.0..1.0_f64)).ln() / rate,
            Arrivals::Fixed => 1.0 / rate,
        };
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn fixed_arrivals_have_constant_intervals() {
        let times = schedule(Arrivals::Fixed, 4.0, Duration::from_secs(1), 1);
        assert_eq!(times, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_deviation_of_the_process() {
        let times = schedule(Arrivals::Poisson, 5.0, HOUR, 7);
        assert!((17_400..18_600).contains(&times.len()), "{} in an hour", times.len());
        let intervals: Vec<f64> =
            times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64()).collect();
        let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
        let variance = intervals.iter().map(|interval| (interval - mean).powi(2)).sum::<f64>()
            / intervals.len() as f64;
        let deviation = variance.sqrt();
        // Mean and standard deviation of an exponential distribution are equal.
        assert!((deviation / mean - 1.0).abs() < 0.05, "mean {mean}, deviation {deviation}");
        assert_eq!(times, schedule(Arrivals::Poisson, 5.0, HOUR, 7));
    }
}
