//! Rate limits: a maximum number of events per key in any period of one minute.

// In dependency order.
mod limiter;
mod memory;
mod redis;

pub use limiter::{RateLimitStatus, RateLimiter};
pub use memory::InMemoryRateLimiter;
pub use redis::RedisRateLimiter;
