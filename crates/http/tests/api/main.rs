//! The REST door and the public door over real sockets, a real database and the real rooms; only the engine is played.

mod audience;
mod deliveries;
mod doors;
mod house;
