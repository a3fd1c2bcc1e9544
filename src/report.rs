//! What a run reports.
