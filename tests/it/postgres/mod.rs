//! The PostgreSQL engine against real servers of every supported age.

mod ahead;
mod apart;
mod digests;
mod direct;
mod fidelity;
mod formats;
mod jobs;
mod lanes;
mod locales;
mod optional;
mod owned_ways;
mod owners;
mod regression;
mod restores;
mod several;
mod subscribed;
mod subscribed_runs;
mod subscriptions;
mod switches;
mod versions;
mod wire;
