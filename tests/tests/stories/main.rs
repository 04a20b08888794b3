//! One binary for all stories: each module is one story, its name says which.

mod house;
mod key_steps;
