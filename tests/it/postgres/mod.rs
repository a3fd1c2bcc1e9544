//! The PostgreSQL engine against real servers of every supported age.

mod formats;
mod restores;
mod wire;
