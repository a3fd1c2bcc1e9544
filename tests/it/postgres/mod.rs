//! The PostgreSQL engine against real servers of every supported age.

mod fidelity;
mod regression;
mod restores;
mod versions;
mod wire;
