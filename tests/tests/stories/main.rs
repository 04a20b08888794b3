//! One binary for all stories: each module is one story, its name says which.

mod crash;
mod house;
mod key_steps;
mod receivers;
mod relay;
mod stop;
