//! Rate limiter in Redis, shared by all processes.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, RedisError, Script};
use async_trait::async_trait;
use jobs::Clock;
use secrecy::{ExposeSecret, SecretString};
use tracing::warn;

use super::limiter::{RateLimitStatus, RateLimiter, WINDOW};
use super::memory::InMemoryRateLimiter;

/// Maximum time that a request waits for Redis before this process counts on its own.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Script that counts one event. The allowed events of a key are a sorted set of times in
/// microseconds. A script runs atomically (Redis manual, "Atomicity of scripts"), so two processes
/// cannot both get the last event.
const ACQUIRE: &str = r"
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local count = redis.call('ZCARD', KEYS[1])
local allowed = count < limit
if allowed then
    count = count + 1
    redis.call('ZADD', KEYS[1], now, ARGV[4])
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {allowed and 1 or 0, count, oldest and (tonumber(oldest) + window - now) or 0}
";

/// Rate limiter that counts in Redis. While Redis is unreachable, each process counts on its own:
/// the effective limit is multiplied by the number of processes, and no request fails.
pub struct RedisRateLimiter {
    redis: ConnectionManager,
    acquire: Script,
    clock: Clock,
    fallback: InMemoryRateLimiter,
}

impl RedisRateLimiter {
    /// Create a limiter for the Redis at a URL such as `redis://host:6379`. The connection is
    /// opened on first use.
    ///
    /// # Errors
    /// The URL is not a Redis URL.
    pub fn connect(url: &SecretString, clock: Clock) -> Result<Self, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let redis =
            ConnectionManager::new_lazy_with_config(Client::open(url.expose_secret())?, config)?;
        Ok(Self {
            redis,
            acquire: Script::new(ACQUIRE),
            clock: clock.clone(),
            fallback: InMemoryRateLimiter::new(clock),
        })
    }

    async fn acquire_in_redis(&self, key: &str, limit: u32) -> Result<RateLimitStatus, RedisError> {
        let now = self.clock.now().timestamp_micros();
        let mut script = self.acquire.key(format!("fiapx:limit:{key}"));
        let script = script
            .arg(now)
            .arg(WINDOW.as_micros() as u64)
            .arg(limit)
            .arg(uuid::Uuid::now_v7().to_string());
        let (allowed, count, reset): (u8, u32, i64) =
            script.invoke_async(&mut self.redis.clone()).await?;
        Ok(RateLimitStatus {
            allowed: allowed == 1,
            limit,
            remaining: limit.saturating_sub(count),
            reset: Duration::from_micros(reset.max(0) as u64),
        })
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn acquire(&self, key: &str, limit: u32) -> RateLimitStatus {
        match tokio::time::timeout(TIMEOUT, self.acquire_in_redis(key, limit)).await {
            Ok(Ok(status)) => return status,
            Ok(Err(error)) => {
                warn!(%error, "Redis is unreachable; rate limits are counted per process");
            }
            Err(_) => warn!("Redis timed out; rate limits are counted per process"),
        }
        self.fallback.acquire(key, limit).await
    }

    async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut redis = self.redis.clone();
        let ping = ::redis::cmd("PING");
        Ok(tokio::time::timeout(TIMEOUT, ping.exec_async(&mut redis)).await??)
    }
}
