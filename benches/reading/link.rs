pub fn g6(_: &mut crate::table::Table) {}
