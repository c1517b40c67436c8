//! Web page in a browser: all its functions, accessibility, texts and delivery.

mod browser;

mod account_links;
mod account;
mod account_data;
mod account_keys;

mod accessibility;
mod api_docs;
mod assets;
mod end_to_end;
mod frames;
mod list;
mod login;
mod logout;
mod options;
mod process_again;
mod sheets;
mod texts;
mod uploads;
mod webhooks;
