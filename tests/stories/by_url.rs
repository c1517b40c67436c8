//! Videos by URL: workers read what a recipe needs of a video at an address, or the whole, and
//! nothing within the network of the service.

mod client;

mod failures;
mod guard;
mod kills;
mod reading;
