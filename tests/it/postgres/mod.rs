//! The PostgreSQL engine against real servers of every supported age.

mod formats;
mod lanes;
mod restores;
mod switches;
mod wire;
