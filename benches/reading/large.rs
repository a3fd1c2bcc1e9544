pub fn run(_: &mut crate::table::Table) {}
