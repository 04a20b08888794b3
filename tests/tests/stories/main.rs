//! One binary for all stories: each module is one story, its name says which.

mod backup;
mod bad_input;
mod crash;
mod disk_and_database;
mod house;
mod key_steps;
mod receivers;
mod relay;
mod stop;
