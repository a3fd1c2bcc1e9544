//! `reinstate runner`: carries out the order of its pod. Everything that it needs lies in files, so
//! there is nothing in its arguments or its environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic;
use std::path::PathBuf;

use clap::Args;

use super::exit::ExitCode;
use super::now;
use super::signals::{self, Again};
use crate::plan::pod::PROGRESS_PORT;
use crate::runner::cancel::Cancel;
use crate::runner::pod::{Pod, carry_out};

/// Carries out the order of its pod: what the operator's Jobs run
#[derive(Args, Clone, Debug)]
pub struct Runner {
    /// The folder that stands for `/`, for tests and debugging
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Where the progress is served
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PROGRESS_PORT)))]
    pub listen: SocketAddr,
}

/// Runs the command.
pub fn run(arguments: &Runner) -> ExitCode {
    // A panic is one line of the log, like everything else.
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let cancel = Cancel::default();
    let _signals = signals::cancel_on_signal(&cancel, Again::Nothing);
    let pod = Pod { root: arguments.root.clone(), listen: arguments.listen, now: now(), cancel };
    ExitCode::of_report(&carry_out(&pod))
}
