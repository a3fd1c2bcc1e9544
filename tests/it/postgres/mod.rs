//! The PostgreSQL engine against real servers of every supported age.

mod restores;
mod wire;
