//! Counting in Redis, together with all other processes.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, RedisError, Script};
use async_trait::async_trait;
use jobs::Clock;
use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::{InMemory, Limits, Verdict, WINDOW};

/// Longest time that a request waits for Redis before it is counted in this process.
const PATIENCE: Duration = Duration::from_millis(250);

/// What is taken under a key within the window is a sorted set of times, in microseconds. The
/// script runs as one step, so no two processes can take the last place (Redis manual, "Atomicity
/// of scripts").
const TAKE: &str = r"
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local taken = redis.call('ZCARD', KEYS[1])
local allowed = taken < limit
if allowed then
    taken = taken + 1
    redis.call('ZADD', KEYS[1], now, ARGV[4])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {allowed and 1 or 0, taken, oldest and (tonumber(oldest) + window - now) or 0}
";

/// Counts in Redis. While Redis is away, each process counts for itself: limits get looser by the
/// number of processes, and nobody is kept out.
pub struct Shared {
    redis: ConnectionManager,
    take: Script,
    clock: Clock,
    alone: InMemory,
}

impl Shared {
    /// Count in the Redis at a URL such as `redis://host:6379`, which need not be there yet.
    ///
    /// # Errors
    /// The URL is none of Redis.
    pub fn connect(url: &SecretString, clock: Clock) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let redis =
            ConnectionManager::new_lazy_with_config(Client::open(url.expose_secret())?, config)?;
        Ok(Self {
            redis,
            take: Script::new(TAKE),
            clock: clock.clone(),
            alone: InMemory::new(clock),
        })
    }

    async fn ask(&self, key: &str, limit: u32) -> Result<Verdict, RedisError> {
        let now = self.clock.now().timestamp_micros();
        let mut script = self.take.key(format!("fiapx:limit:{key}"));
        let script = script
            .arg(now)
            .arg(WINDOW.as_micros() as u64)
            .arg(limit)
            .arg(uuid::Uuid::now_v7().to_string());
        let (allowed, taken, reset): (u8, u32, i64) =
            script.invoke_async(&mut self.redis.clone()).await?;
        let reset = Duration::from_micros(reset.max(0) as u64);
        Ok(Verdict { allowed: allowed == 1, limit, remaining: limit.saturating_sub(taken), reset })
    }
}

#[async_trait]
impl Limits for Shared {
    async fn take(&self, key: &str, limit: u32) -> Verdict {
        match tokio::time::timeout(PATIENCE, self.ask(key, limit)).await {
            Ok(Ok(verdict)) => return verdict,
            Ok(Err(error)) => {
                warn!(%error, "Redis cannot be asked; this process counts for itself");
            }
            Err(_) => warn!("Redis does not answer in time; this process counts for itself"),
        }
        self.alone.take(key, limit).await
    }

    async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut redis = self.redis.clone();
        let ping = ::redis::cmd("PING");
        Ok(tokio::time::timeout(PATIENCE, ping.exec_async(&mut redis)).await??)
    }
}
