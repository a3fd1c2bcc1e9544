pub fn g4(_: &mut crate::table::Table) {}
pub fn g5(_: &mut crate::table::Table) {}
