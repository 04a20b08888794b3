//! Tests of the room from outside: scripted dialogues, the corpus of replies, another project's corpus, arbitrary bytes.

mod arbitrary;
mod corpus;
mod dialogues;
mod duties;
mod manual;
mod replies;
