//! Helpers of the stories: programs, clips, services, users, and audits of what they leave.

pub mod checks;
pub mod programs;
pub mod clips;
pub mod archive;
pub mod extraction;
pub mod ffmpeg;
pub mod mails;
pub mod client;
pub mod second_factor;
pub mod balancer;
pub mod parts;
pub mod service;
pub mod audit;
pub mod process;
pub mod isolation;
pub mod remote_network;
pub mod line;
pub mod tls;
pub mod cluster;
pub mod collector;
pub mod receiver;
pub mod video_server;
pub mod metrics;
pub mod small_disk;
