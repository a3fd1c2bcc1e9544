//! What is not made by the load: subscriptions, and what is said of them.

use super::gate::Gate;
use super::place::{Place, unsafe_content};
use super::session::Settings;
use crate::runner::engine::postgres::statement::{Object, Step, Subscription};
use crate::runner::engine::postgres::subscriptions::{Piece, Waiting, What};
use crate::runner::fault::Result;

/// Settings that a statement of its own session needs: how its bytes are read.
const OF_THE_TEXT: [&str; 2] = ["client_encoding", "standard_conforming_strings"];

/// Keeps a statement that is about a subscription; whether it was.
pub(super) fn waits(
    waiting: &mut Waiting,
    step: &Step,
    text: &[u8],
    (place, settings, gate): (&Place, &Settings, &mut Gate),
) -> Result<bool> {
    let what = match step {
        Step::Subscription { .. } => {
            let Some(read) = Subscription::parse(text, gate.is_conforming()) else {
                return Err(unsafe_content(place, "a subscription of a form that no dump tool writes"));
            };
            What::Make(read)
        }
        Step::Comment { object: Object::Subscription }
        | Step::SecurityLabel { object: Object::Subscription } => What::Say(text.to_vec()),
        Step::Owner { object: Object::Subscription, .. } => {
            gate.skip("owner of", "a subscription belongs to the login that makes it");
            return Ok(true);
        }
        _ => return Ok(false),
    };
    let settings = OF_THE_TEXT.iter().filter_map(|name| settings.of(name)).map(<[u8]>::to_vec).collect();
    waiting.keep(Piece { what, place: place.to_string(), settings })?;
    Ok(true)
}
