//! Tests of the room from outside: scripted dialogues, replies known from the field and from a corpus, arbitrary bytes.

mod arbitrary;
mod corpus;
mod dialogues;
mod known;
