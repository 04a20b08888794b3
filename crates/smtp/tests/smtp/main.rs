//! Tests of the room from outside: scripted dialogues, real replies, arbitrary bytes.

mod arbitrary;
mod corpus;
mod dialogues;
