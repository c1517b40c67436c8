//! When uploads begin: planned before the first one, so that nothing that the service does changes
//! it.

use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How uploads follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// As those of many users who know nothing of each other do: a Poisson process.
    Poisson,
    /// At equal distances.
    Fixed,
}

/// The moments at which uploads begin, from the start of the run, `rate` of them a second on
/// average.
pub fn moments(arrivals: Arrivals, rate: f64, within: Duration, seed: u64) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut moments, mut moment) = (Vec::new(), 0.0);
    while moment < within.as_secs_f64() {
        moments.push(Duration::from_secs_f64(moment));
        moment += match arrivals {
            // Distances in a Poisson process are distributed exponentially; this inverts their
            // distribution.
            Arrivals::Poisson => -(1.0 - random.random_range(0.0..1.0_f64)).ln() / rate,
            Arrivals::Fixed => 1.0 / rate,
        };
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn fixed_arrivals_are_equally_far_apart() {
        let moments = moments(Arrivals::Fixed, 4.0, Duration::from_secs(1), 1);
        assert_eq!(moments, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_are_as_far_apart_as_they_vary() {
        let moments = moments(Arrivals::Poisson, 5.0, HOUR, 7);
        assert!((17_400..18_600).contains(&moments.len()), "{} in an hour", moments.len());
        let distances: Vec<f64> =
            moments.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs_f64()).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let variance = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>()
            / distances.len() as f64;
        // Mean and deviation of an exponential distribution are the same.
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.05,
            "mean {mean}, deviation {}",
            variance.sqrt()
        );
        assert_eq!(moments, super::moments(Arrivals::Poisson, 5.0, HOUR, 7));
    }
}
