//! Web page in a browser: all its functions, accessibility, texts and delivery.

mod browser;

mod accessibility;
mod assets;
mod end_to_end;
mod frames;
mod list;
mod login;
mod options;
mod process_again;
mod sheets;
mod texts;
mod uploads;
