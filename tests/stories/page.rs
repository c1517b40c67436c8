//! Web page in a browser: all its functions, accessibility, texts and delivery.

mod browser;

mod account_links;
mod account;
mod account_data;
mod account_keys;

mod accessibility;
mod assets;
mod by_url;
mod end_to_end;
mod frames;
mod list;
mod login;
mod logout;
mod options;
mod process_again;
mod resumable_uploads;
mod sheets;
mod texts;
mod uploads;
mod webhooks;
