//! The PostgreSQL engine against real servers of every supported age.

mod digests;
mod fidelity;
mod formats;
mod lanes;
mod locales;
mod regression;
mod restores;
mod switches;
mod versions;
mod wire;
